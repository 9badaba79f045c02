"""What `sidecar policy test --json` says: its keys are public, scripts read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidecar.policytools.inbound import every_rule
from sidecar.policytools.nearest import nearest
from sidecar.policytools.trial import explained, undecided
from sidecar.policytools.trial_text import books_of
from sidecar.policytools.values import explanation_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.policytools.rulebook import Rulebook
    from sidecar.policytools.trial import Result, Trial


def trial_value(trials: Sequence[Trial]) -> dict[str, Any]:
    """Give what has become of cases as a value that JSON can carry."""
    places = explained(trials)
    return {
        "ok": not any(trial.failed for trial in trials),
        "files": [
            {
                "file": trial.source,
                "decided_by": trial.book.source,
                "failed": len(trial.failed),
                "cases": [
                    _result(trial.book, each, explain=each.place in places)
                    for each in trial.results
                ],
            }
            for trial in trials
        ],
        "coverage": [_coverage(book, trials) for book in books_of(trials)],
    }


def _result(book: Rulebook, result: Result, *, explain: bool) -> dict[str, Any]:
    judgement = result.judgement
    said = nearest(every_rule(book, judgement)) if explain else ()
    return {
        "name": result.case.name,
        "place": result.place,
        "ok": result.wrong is None,
        "wrong": result.wrong,
        "verdict": str(judgement.verdict),
        "rule": judgement.decision.rule,
        "explanation": explanation_value(book, judgement, said) if explain else None,
    }


def _coverage(book: Rulebook, trials: Sequence[Trial]) -> dict[str, Any]:
    missed = undecided(book, trials)
    return {
        "decided_by": book.source,
        "rules": len(book.policy.rules),
        "undecided": [
            {"name": book.policy.rules[at].name, "place": book.rule_place(at)}
            for at in missed
        ],
    }
