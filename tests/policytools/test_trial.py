from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from sidecar.config.problems import ConfigError
from sidecar.config.yaml_document import parse_document
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.evaluate import Verdict
from sidecar.policy.model import Action, Policy, Rule
from sidecar.policy.pattern import parse_pattern
from sidecar.policytools.cases import Case, Suite, SuiteReading, suite_of
from sidecar.policytools.trial import (
    Trial,
    explained,
    try_cases,
    undecided,
    untaken,
)
from tests.policytools.books import CART, FRONTEND, of_files, of_text, of_values
from tests.policytools.test_way_text import book as book_with_routes

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.policytools.rulebook import Rulebook


def tried(book: Rulebook, text: str) -> Trial:
    document = parse_document(f"cases:\n{dedent(text)}".encode(), "cases.yaml")
    return try_cases(suite_of(document), book)


def test_cases_that_cannot_be_tried_are_problems_all_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        tried(
            of_text(),
            """\
            - {name: a, peer: unauthenticated, port: 9090, expect: allow, rule: promtheus}
            - {name: b, peer: unauthenticated, port: 9090, expect: deny}
            """,
        )
    assert [each.located for each in raised.value.problems] == [
        "cases.yaml:2: cases[0].source: missing: rule 'prometheus' (policy.yaml:7) "
        "asks where it comes from",
        "cases.yaml:2: cases[0].rule: policy.yaml has no rule of that name, got "
        "'promtheus' (did you mean 'prometheus'?)",
        "cases.yaml:3: cases[1].source: missing: rule 'prometheus' (policy.yaml:7) "
        "asks where it comes from",
    ]


def test_a_result_has_file_and_line() -> None:
    trial = tried(of_text(), f"- {{name: a, peer: {CART!r}, port: 1, expect: allow}}\n")
    assert [str(each.place) for each in trial.failed] == ["cases.yaml:2"]
    assert trial.source == "cases.yaml"


def test_a_rule_counts_as_decided_where_it_decides_or_would(tmp_path: Path) -> None:
    book = of_files(tmp_path)
    assert undecided(book, []) == [0, 1, 2, 3]
    trial = tried(
        book,
        f"""\
        - {{name: a, peer: {CART!r}, port: 8080, expect: deny}}
        - {{name: b, peer: {FRONTEND!r}, port: 8080, expect: allow}}
        - {{name: c, peer: unauthenticated, port: 8080, expect: deny}}
        """,
    )
    assert undecided(book, [trial]) == [1, 3]
    assert undecided(of_files(tmp_path), [trial]) == [0, 1, 2, 3]


def test_routes_count_once_a_case_asks_for_one(tmp_path: Path) -> None:
    routed, _ = book_with_routes()
    policy = tried(
        routed, "- {name: a, peer: unauthenticated, port: 1, expect: deny}\n"
    )
    assert untaken(routed, [policy]) == []
    route = tried(routed, "- {name: a, to: 10.0.0.1:80, expect: plaintext}\n")
    assert untaken(routed, [policy, route]) == [0, 2]
    assert undecided(routed, [route]) == []
    other = of_files(tmp_path)
    assert untaken(other, [route]) == []
    assert untaken(of_text(), [route]) == []


def test_of_many_failures_only_some_are_explained_the_fewer_the_more_rules() -> None:
    def places(rules: int, failures: int) -> int:
        pattern = parse_pattern("spiffe://x.test/a")
        each = (Rule(f"r{n}", Action.ALLOW, (pattern,)) for n in range(rules))
        book = of_values(Policy(rules=tuple(each)))
        peer = SpiffeId.parse(CART)
        cases = (Case(f"c{n}", peer, 1, Verdict.ALLOW) for n in range(failures))
        document = parse_document(b"cases:\n" + b"- x: 1\n" * failures, f"{rules}.yaml")
        trial = try_cases(SuiteReading(document, Suite(tuple(cases))), book)
        assert len(trial.failed) == failures
        return len(explained([trial]))

    assert places(1, 50) == 50
    assert places(0, 150) == 100
    assert places(18_000, 50) == 10
