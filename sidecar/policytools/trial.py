"""Cases tried on a policy: which hold, and which rules none of them has asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import frozen

from sidecar.config.place import Finding, Index, Invalid
from sidecar.config.problems import ConfigError
from sidecar.policytools.cases import RouteCase
from sidecar.policytools.claim import Ways, try_call, try_route
from sidecar.policytools.inbound import Judgement
from sidecar.policytools.rulebook import Location, location_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.policytools.cases import Case, SuiteReading
    from sidecar.policytools.rulebook import Rulebook

    Found: TypeAlias = Judgement | Ways

_EACH: Final = 2_000
_BUDGET: Final = 100 * _EACH
"""What explanations may cost, in rules that are asked: some seconds."""


@frozen
class Result:
    """One case, tried.

    Attributes:
        case: What was claimed.
        place: Where the case stands.
        found: What is the case.
        wrong: What is not as it was claimed; None if all of it is.
    """

    case: Case | RouteCase
    place: Location
    found: Found
    wrong: str | None


@frozen(eq=False)
class Trial:
    """A file of cases, tried.

    Attributes:
        source: The file.
        book: What has decided.
        results: One for each case, in the order of the file.
    """

    source: str
    book: Rulebook
    results: tuple[Result, ...]

    @property
    def failed(self) -> list[Result]:
        """The cases that do not hold."""
        return [each for each in self.results if each.wrong is not None]


def try_cases(reading: SuiteReading, book: Rulebook) -> Trial:
    """Try every case of a file.

    Raises:
        ConfigError: Some cannot be tried; it carries the problems of all of them.
    """
    findings: list[Finding] = []
    results = []
    for at, case in enumerate(reading.suite.cases):
        try:
            found, wrong = _try(case, book)
        except Invalid as error:
            findings += (each.under(Index(at)) for each in error.findings)
            continue
        place = location_in(reading.document, "cases", Index(at))
        results.append(Result(case, place, found, wrong))
    source = reading.document.source
    if findings:
        located = (each.under("cases") for each in findings)
        raise ConfigError(source, reading.document.problems(located))
    return Trial(source, book, tuple(results))


def _try(case: Case | RouteCase, book: Rulebook) -> tuple[Found, str | None]:
    return (
        try_route(case, book) if isinstance(case, RouteCase) else try_call(case, book)
    )


def explained(trials: Iterable[Trial]) -> frozenset[Location]:
    """Choose the failures that are worth an explanation, by their places.

    Past a hundred nobody reads on, and with 100,000 rules each takes seconds.
    """
    places = list[Location]()
    budget = _BUDGET
    for trial in trials:
        for result in trial.failed:
            if budget > 0:
                places.append(result.place)
            budget -= _EACH + len(trial.book.policy.rules)
    return frozenset(places)


def undecided(book: Rulebook, trials: Iterable[Trial]) -> list[int]:
    """Name the rules, by number, that have decided no case of *trials* of *book*.

    A dry run counts where it would have decided.
    """
    seen: set[str | None] = set()
    for trial in trials:
        for result in trial.results:
            found = result.found
            if (
                trial.book is book
                and isinstance(found, Judgement)
                and found.entry.refused is None
            ):
                decision = found.decision
                dry_run = decision.dry_run
                seen |= {decision.rule, None if dry_run is None else dry_run.rule}
    rules = book.policy.rules
    return [at for at, rule in enumerate(rules) if rule.name not in seen]


def untaken(book: Rulebook, trials: Iterable[Trial]) -> list[int]:
    """Name the routes, by number, that no case of *trials* of *book* has taken.

    None where no case asks for routes: who tries a policy need not try them.
    """
    ways = [
        way
        for trial in trials
        for result in trial.results
        if trial.book is book and isinstance(result.found, Ways)
        for way in result.found.taken
    ]
    if book.config is None or not ways:
        return []
    taken = {way.route for way in ways}
    return [at for at in range(len(book.config.outbound.routes)) if at not in taken]
