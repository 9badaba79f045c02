from __future__ import annotations

from textwrap import dedent

from sidecar.config.yaml_document import parse_document
from sidecar.policytools.cases import suite_of
from sidecar.policytools.trial import Trial, try_cases
from sidecar.policytools.trial_text import books_of, failure_lines, trial_lines
from tests.policytools.books import CART, FRONTEND, of_text
from tests.policytools.test_way_text import book as book_with_routes

BOOK = of_text()
ALLOWED = f"- {{name: good, peer: {FRONTEND!r}, port: 8080, expect: allow}}"
DENIED = f"- {{name: bad, peer: {CART!r}, port: 8080, expect: allow}}"


def trial(*cases: str, source: str = "cases.yaml", rules: str = "") -> Trial:
    text = "\n".join(["cases:", *cases])
    reading = suite_of(parse_document(text.encode(), source))
    return try_cases(reading, of_text(rules) if rules else BOOK)


def test_a_failure_is_explained_and_all_of_it_is_summed_up() -> None:
    expected = f"""\
        cases.yaml:3: bad: expected allow, got deny by default
            denied by default: no rule allows it, and the default is deny
              peer      {CART}
              port      8080
              source    anywhere: no rule for this peer and port asks
              nearest   rule 'try-out' allows this but is a dry run
              dry run   with its dry runs in force it is allowed by rule 'try-out' (policy.yaml:12)
            rules
              policy.yaml:3: allow frontend-calls-api: does not match
                  peer: differs only in segment 4: 'frontend', not 'cart'
              policy.yaml:12: allow try-out, dry run: would decide, but is a dry run
              policy.yaml:16: deny no-batch: does not match
                  peer: differs only in segment 2: 'batch', not 'shop'
              and 1 rule further off
        cases.yaml: 2 cases, 1 failed
        policy.yaml: 2 of 4 rules decided a case
          policy.yaml:7: prometheus decided none
          policy.yaml:16: no-batch decided none"""
    assert "\n".join(trial_lines([trial(ALLOWED, DENIED)])) == dedent(expected)


def test_where_all_hold_that_is_said() -> None:
    first, *_ = trial_lines([trial(ALLOWED)])
    assert first == "cases.yaml: 1 case, all hold"


def test_an_explanation_may_be_left_out() -> None:
    failed = trial(DENIED)
    (result,) = failed.failed
    lines = [*failure_lines(failed, result, explain=False)]
    assert lines == ["cases.yaml:2: bad: expected allow, got deny by default"]


def test_several_files_share_what_decides() -> None:
    both = [trial(ALLOWED, source="a.yaml"), trial(DENIED, source="b.yaml")]
    assert books_of(both) == [BOOK]
    text = "\n".join(trial_lines(both))
    assert text.count("rules decided a case") == 1


def test_a_policy_without_rules_has_nothing_to_be_covered() -> None:
    empty = trial(DENIED.replace("allow", "deny"), rules="default: deny")
    assert [*trial_lines([empty])] == ["cases.yaml: 1 case, all hold"]


def test_of_many_rules_some_are_named() -> None:
    rules = "rules:\n" + "".join(
        f"- {{name: r{n}, action: allow, peers: [{FRONTEND!r}]}}\n" for n in range(40)
    )
    lines = [*trial_lines([trial(ALLOWED, rules=rules)])]
    assert lines[1] == "policy.yaml: 1 of 40 rules decided a case"
    assert lines[-1] == "  and 19 more decided none"
    assert len(lines) == 23


ROUTED, _ = book_with_routes()


def of_routes(*cases: str) -> Trial:
    text = "\n".join(["cases:", *cases])
    return try_cases(suite_of(parse_document(text.encode(), "cases.yaml")), ROUTED)


WAY = "- {name: safe, to: '10.0.0.1:80', expect: mtls}"


def test_a_way_that_is_not_as_claimed_is_explained_and_routes_are_covered() -> None:
    expected = """\
        cases.yaml:2: safe: expected mtls, got plaintext by route 'old'
            in plaintext by route 'old' (sidecar.yaml:12)
              to        10.0.0.1:80
              note      this holds if 10.0.0.1 is no address of api.test (say what is: --resolve api.test=ADDRESS)
            routes
              sidecar.yaml:11: mtls api: does not match
                  to: api.test, not 10.0.0.1
              sidecar.yaml:12: plaintext old: is taken
              sidecar.yaml:13: deny no: does not match
                  to: 192.0.2.0/24, not 10.0.0.1
        cases.yaml: 1 case, 1 failed
        sidecar.yaml: 1 of 3 routes taken by a case
          sidecar.yaml:11: api taken by none
          sidecar.yaml:13: no taken by none"""
    assert "\n".join(trial_lines([of_routes(WAY)])) == dedent(expected)
