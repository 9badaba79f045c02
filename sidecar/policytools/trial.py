"""Cases tried on a policy: which hold, and which rules none of them has asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.config.place import Finding, Index
from sidecar.config.problems import ConfigError
from sidecar.config.wording import shown, suggestion
from sidecar.policytools.cases import BY_DEFAULT
from sidecar.policytools.entry import Call
from sidecar.policytools.inbound import SourceNeeded, judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sidecar.policytools.cases import Case, SuiteReading
    from sidecar.policytools.inbound import Judgement
    from sidecar.policytools.rulebook import Rulebook

_EACH: Final = 2_000
_BUDGET: Final = 100 * _EACH
"""What explanations may cost, in rules that are asked: some seconds."""


@frozen
class Result:
    """One case, tried.

    Attributes:
        case: What was claimed.
        place: File and line of the case.
        judgement: What is the case.
        wrong: What is not as it was claimed; None if all of it is.
    """

    case: Case
    place: str
    judgement: Judgement
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
        findings += (each.under(Index(at)) for each in _problems(case, book))
        try:
            judgement = judge(book, Call(case.peer, case.port, case.source))
        except SourceNeeded as error:
            findings.append(_source_needed(book, error.number).under(Index(at)))
            continue
        place = reading.document.problem(Finding(("cases", Index(at)), ""))
        wrong = _wrong(case, judgement)
        results.append(Result(case, f"{place.source}:{place.line}", judgement, wrong))
    source = reading.document.source
    if findings:
        located = (each.under("cases") for each in findings)
        raise ConfigError(source, reading.document.problems(located))
    return Trial(source, book, tuple(results))


def _problems(case: Case, book: Rulebook) -> Iterator[Finding]:
    if case.rule is not None and case.rule != BY_DEFAULT and case.rule not in book:
        guess = suggestion(case.rule, [rule.name for rule in book.policy.rules])
        what = f"{book.source} has no rule of that name, got {shown(case.rule)}{guess}"
        yield Finding(("rule",), what)


def _source_needed(book: Rulebook, number: int) -> Finding:
    name, place = book.policy.rules[number].name, book.rule_place(number)
    what = f"missing: rule {name!r} ({place}) asks where it comes from"
    return Finding(("source",), what)


def _wrong(case: Case, judgement: Judgement) -> str | None:
    refused = judgement.entry.refused
    rule = judgement.decision.rule or BY_DEFAULT
    if refused is not None:
        reasons = " or ".join(refused.reasons)
        found = f"{judgement.verdict} in the handshake ({reasons})"
        holds = case.rule is None and case.reason in {None, *refused.reasons}
    else:
        found = f"{judgement.verdict}{_by(rule)}"
        holds = case.rule in {None, rule} and case.reason is None
    if holds and judgement.verdict is case.expect:
        return None
    wanted = f"{case.expect}{_by(case.rule) if case.rule else ''}"
    if case.reason is not None:
        wanted = f"{case.expect} in the handshake ({case.reason})"
    return f"expected {wanted}, got {found}"


def _by(rule: str) -> str:
    return " by default" if rule == BY_DEFAULT else f" by rule {rule!r}"


def explained(trials: Iterable[Trial]) -> frozenset[str]:
    """Choose the failures that are worth an explanation, by their places.

    Past a hundred nobody reads on, and with 100,000 rules each takes seconds.
    """
    places = list[str]()
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
            if trial.book is book and result.judgement.entry.refused is None:
                decision = result.judgement.decision
                dry_run = decision.dry_run
                seen |= {decision.rule, None if dry_run is None else dry_run.rule}
    rules = book.policy.rules
    return [at for at, rule in enumerate(rules) if rule.name not in seen]
