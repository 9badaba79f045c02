from __future__ import annotations

import pytest

from sidecar.config.problems import ConfigError, Problem


@pytest.mark.parametrize(
    ("problem", "text", "located"),
    [
        (Problem("a.b", "missing"), "a.b: missing", "a.b: missing"),
        (Problem("", "is empty"), "is empty", "is empty"),
        (
            Problem("a.b", "missing", source="s.yaml"),
            "a.b: missing",
            "s.yaml: a.b: missing",
        ),
        (
            Problem("a[0]", "missing", 12, "s.yaml"),
            "a[0]: missing",
            "s.yaml:12: a[0]: missing",
        ),
        (Problem("", "is empty", source="s.yaml"), "is empty", "s.yaml: is empty"),
    ],
)
def test_a_problem_says_its_place_first(
    problem: Problem, text: str, located: str
) -> None:
    assert str(problem) == text
    assert problem.located == located


def test_one_problem_is_not_called_problems() -> None:
    error = ConfigError("s.yaml", (Problem("a", "missing"),))
    assert str(error) == "s.yaml: 1 problem\n  a: missing"


def test_an_error_lists_its_problems_in_order() -> None:
    problems = (Problem("b", "missing", 3, "s.yaml"), Problem("a", "missing"))
    error = ConfigError("s.yaml", problems)
    assert error.source == "s.yaml"
    assert error.problems == problems
    assert str(error).splitlines() == [
        "s.yaml: 2 problems",
        "  s.yaml:3: b: missing",
        "  a: missing",
    ]


def test_an_error_keeps_every_problem_and_lists_the_first_100() -> None:
    problems = tuple(Problem(f"rules[{i}]", "missing") for i in range(1000))
    error = ConfigError("s.yaml", problems)
    lines = str(error).splitlines()
    assert error.problems == problems
    assert lines[0] == "s.yaml: 1000 problems"
    assert lines[100:] == ["  rules[99]: missing", "  ... and 900 more"]
