"""What has become of cases, as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sidecar.policytools.inbound import Judgement, every_rule
from sidecar.policytools.nearest import nearest
from sidecar.policytools.text import explanation_lines
from sidecar.policytools.trial import explained, undecided, untaken
from sidecar.policytools.way_text import way_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sidecar.policytools.rulebook import Rulebook
    from sidecar.policytools.trial import Result, Trial

_RULES: Final = 3
"""As many rules are shown with each: what is near is what was meant."""
_LISTED: Final = 20


def trial_lines(trials: Sequence[Trial]) -> Iterator[str]:
    """Write each failure with its explanation, then what all of it comes to."""
    places = explained(trials)
    for trial in trials:
        for result in trial.failed:
            yield from failure_lines(trial, result, explain=result.place in places)
    for trial in trials:
        count = _count(len(trial.results), "case")
        yield f"{trial.source}: {count}, {_failed(len(trial.failed))}"
    for book in books_of(trials):
        yield from _coverage(book, trials)


def books_of(trials: Sequence[Trial]) -> list[Rulebook]:
    """List what has decided, each once."""
    return list({id(trial.book): trial.book for trial in trials}.values())


def failure_lines(trial: Trial, result: Result, *, explain: bool) -> Iterator[str]:
    """Write what is wrong with a case, and why it is so if that is wanted."""
    yield f"{result.place}: {result.case.name}: {result.wrong}"
    if not explain:
        return
    for line in _explanation(trial.book, result):
        yield f"    {line}"


def _explanation(book: Rulebook, result: Result) -> Iterator[str]:
    found = result.found
    if isinstance(found, Judgement):
        said = nearest(every_rule(book, found), _RULES)
        yield from explanation_lines(book, found, said, remedy="")
        return
    for way in found.taken:
        yield from way_lines(book, found.config, way, result.case.peer, most=_RULES)


def _coverage(book: Rulebook, trials: Sequence[Trial]) -> Iterator[str]:
    rules, missed = book.policy.rules, undecided(book, trials)
    if rules:
        done = len(rules) - len(missed)
        yield f"{book.source}: {done} of {_count(len(rules), 'rule')} decided a case"
        named = [f"{book.rule_place(at)}: {rules[at].name}" for at in missed]
        yield from _missed(named, "decided none")
    if book.config is not None and (missed := untaken(book, trials)):
        routes = book.config.outbound.routes
        done = len(routes) - len(missed)
        yield f"{book.source}: {done} of {_count(len(routes), 'route')} taken by a case"
        named = [f"{book.route_place(at)}: {routes[at].name}" for at in missed]
        yield from _missed(named, "taken by none")


def _missed(named: Sequence[str], what: str) -> Iterator[str]:
    for name in named[:_LISTED]:
        yield f"  {name} {what}"
    if len(named) > _LISTED:
        yield f"  and {len(named) - _LISTED:,} more {what}"


def _failed(count: int) -> str:
    return f"{count} failed" if count else "all hold"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
