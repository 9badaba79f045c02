from __future__ import annotations

from ipaddress import ip_address
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policytools.entry import Call, Refused
from sidecar.policytools.inbound import every_rule, judge
from sidecar.policytools.nearest import nearest
from sidecar.policytools.text import explanation_lines, headline
from sidecar.telemetry.labels import Reason
from tests.policytools.books import CART, FRONTEND, POLICY, of_files, of_text

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.policytools.rulebook import Rulebook

HERE = ip_address("10.0.0.7")


def call(peer: str | None, port: int = 8080) -> Call:
    return Call(peer if peer is None else SpiffeId.parse(peer), port, HERE)


def told(book: Rulebook, asked: Call, most: int | None = None) -> str:
    judgement = judge(book, asked)
    said = nearest(every_rule(book, judgement), most)
    return "\n".join(explanation_lines(book, judgement, said))


def test_an_explanation_names_rules_with_file_and_line_and_what_each_misses() -> None:
    expected = f"""\
        denied by default: no rule allows it, and the default is deny
          peer      {CART}
          port      8080
          source    10.0.0.7
          nearest   rule 'try-out' allows this but is a dry run
          dry run   with its dry runs in force it is allowed by rule 'try-out' (policy.yaml:12)
        rules
          policy.yaml:3: allow frontend-calls-api: does not match
              peer: differs only in segment 4: 'frontend', not 'cart'
          policy.yaml:7: allow prometheus: does not match
              peer: differs in segment 2: 'monitoring', not 'shop'
              port: 9090 or 9091, not 8080
          policy.yaml:12: allow try-out, dry run: would decide, but is a dry run
          policy.yaml:16: deny no-batch: does not match
              peer: differs only in segment 2: 'batch', not 'shop'"""
    assert told(of_text(), call(CART)) == dedent(expected)


def test_what_is_left_out_is_counted() -> None:
    text = told(of_text(), call(CART), 3)
    assert text.endswith("\n  and 1 rule further off (--all shows every rule)")
    text = told(of_text(), call(CART), 1)
    assert text.endswith("\n  and 3 rules further off (--all shows every rule)")


@pytest.mark.parametrize(
    ("default", "said"),
    [
        ("deny", "denied by default: no rule allows it, and the default is deny"),
        ("allow", "allowed by default: no rule denies it, and the default is allow"),
        ("audit", "audited by default: no rule allows it; it passes, as the default"),
    ],
)
def test_the_default_is_named(default: str, said: str) -> None:
    book = of_text(f"default: {default}")
    assert headline(book, judge(book, call(CART))).startswith(said)
    assert "rules" not in told(book, call(CART))


@pytest.mark.parametrize(
    ("peer", "said"),
    [
        (FRONTEND, "allowed by rule 'frontend-calls-api' (policy.yaml:3)"),
        (
            "spiffe://example.org/ns/batch/sa/x",
            "denied by rule 'no-batch' (policy.yaml:16)",
        ),
    ],
)
def test_the_rule_that_decides_is_named(peer: str, said: str) -> None:
    book = of_text()
    assert headline(book, judge(book, call(peer))) == said


def test_the_handshake_is_told_from_the_policy(tmp_path: Path) -> None:
    text = told(of_files(tmp_path), call(None))
    first, *rest = text.splitlines()
    assert first == (
        "denied in the handshake (no_certificate or plaintext): port 8080 is strict, and takes "
        "nobody without a certificate"
    )
    assert rest[:4] == [
        "  peer      unauthenticated",
        "  port      8080, strict: mutual TLS or nothing",
        "  source    10.0.0.7",
        "  policy    is not asked; it would say: denied by default: no rule allows it, "
        "and the default is deny",
    ]


def test_a_rule_that_is_not_asked_would_decide(tmp_path: Path) -> None:
    expired = Refused(Reason.EXPIRED, "expired 1 hour ago")
    asked = Call(SpiffeId.parse(FRONTEND), 8080, HERE, refused=expired)
    text = told(of_files(tmp_path), asked)
    assert "denied in the handshake (expired): expired 1 hour ago\n" in text
    assert "allow frontend-calls-api: would decide, were it asked\n" in text


def test_plaintext_on_a_permissive_port_is_told_beside(tmp_path: Path) -> None:
    text = told(of_files(tmp_path), call(FRONTEND, 9090))
    assert (
        "  plaintext without the sidecar's TLS, unauthenticated, it is allowed by rule "
        f"'prometheus' ({tmp_path / 'policy.yaml'}:7)\n"
    ) in text


def test_notes_are_shown(tmp_path: Path) -> None:
    text = told(of_files(tmp_path), call(FRONTEND, 9091))
    assert "\n  note      port 9091 has no TLS: whoever calls is unauth" in text


def test_where_no_source_matters_that_is_said() -> None:
    text = told(of_text(), Call(SpiffeId.parse(CART), 8080))
    assert "\n  source    anywhere: no rule for this peer and port asks\n" in text


def test_a_certificate_without_a_name_is_told_no_rules() -> None:
    refused = Refused(Reason.NOT_AN_SVID, "must be readable")
    text = told(of_text(), Call(None, 8080, HERE, refused=refused))
    assert text.splitlines() == [
        "denied in the handshake (not_an_svid): must be readable",
        "  peer      without a name",
        "  port      8080",
        "  source    10.0.0.7",
    ]


def test_every_effect_has_its_words() -> None:
    others = "".join(
        f'  - {{name: {name}, action: deny, peers: ["{FRONTEND}"], dry_run: {dry}}}\n'
        for name, dry in (("first", "false"), ("second", "false"), ("third", "true"))
    )
    text = POLICY + others
    said = told(of_text(text), call(FRONTEND))
    for effect in (
        "allow frontend-calls-api: matches, but a matching deny wins",
        "deny first: decides",
        "deny second: matches, after the one that decides",
        "deny third, dry run: matches, is a dry run, and would change nothing",
    ):
        assert effect in said
