"""What `sidecar policy test --json` says: its keys are public, scripts read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidecar.policytools.inbound import Judgement, every_rule
from sidecar.policytools.nearest import nearest
from sidecar.policytools.trial import explained, undecided, untaken
from sidecar.policytools.trial_text import books_of
from sidecar.policytools.values import explanation_value
from sidecar.policytools.way_text import way_value

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
    return {
        "name": result.case.name,
        "line": result.place.line,
        "ok": result.wrong is None,
        "wrong": result.wrong,
        "explanation": _explanation(book, result) if explain else None,
    }


def _explanation(book: Rulebook, result: Result) -> dict[str, Any] | list[Any]:
    found = result.found
    if isinstance(found, Judgement):
        return explanation_value(book, found, nearest(every_rule(book, found)))
    server = result.case.peer
    return [way_value(book, found.config, way, server) for way in found.taken]


def _coverage(book: Rulebook, trials: Sequence[Trial]) -> dict[str, Any]:
    rules = book.policy.rules
    routes = () if book.config is None else book.config.outbound.routes
    return {
        "decided_by": book.source,
        "rules": len(rules),
        "undecided": [
            {"name": rules[at].name, **book.rule_at(at).value}
            for at in undecided(book, trials)
        ],
        "routes": len(routes),
        "untaken": [
            {"name": routes[at].name, **book.route_at(at).value}
            for at in untaken(book, trials)
        ],
    }
