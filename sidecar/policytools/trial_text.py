"""What has become of cases, as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sidecar.policytools.inbound import every_rule
from sidecar.policytools.nearest import nearest
from sidecar.policytools.text import explanation_lines
from sidecar.policytools.trial import explained, undecided

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
    said = nearest(every_rule(trial.book, result.judgement), _RULES)
    for line in explanation_lines(trial.book, result.judgement, said, remedy=""):
        yield f"    {line}"


def _coverage(book: Rulebook, trials: Sequence[Trial]) -> Iterator[str]:
    total = len(book.policy.rules)
    if not total:
        return
    missed = undecided(book, trials)
    yield f"{book.source}: {total - len(missed)} of {_count(total, 'rule')} decided a case"
    for number in missed[:_LISTED]:
        name = book.policy.rules[number].name
        yield f"  {book.rule_place(number)}: {name} decided none"
    if len(missed) > _LISTED:
        yield f"  and {len(missed) - _LISTED:,} more decided none"


def _failed(count: int) -> str:
    return f"{count} failed" if count else "all hold"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
