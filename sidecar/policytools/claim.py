"""What a case claims, held against what is the case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.config.place import Finding, Invalid
from sidecar.config.wording import shown, suggestion
from sidecar.policytools.cases import BY_DEFAULT, RouteExpectation
from sidecar.policytools.entry import Call
from sidecar.policytools.inbound import SourceNeeded, judge
from sidecar.policytools.outbound import ways_to
from sidecar.proxy.plan import Originate, Reject

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sidecar.config.model import Config
    from sidecar.policytools.cases import Case, RouteCase
    from sidecar.policytools.inbound import Judgement
    from sidecar.policytools.outbound import Way
    from sidecar.policytools.rulebook import Rulebook


_COMPARED: Final = 2_000
"""Names that a misspelt one is compared with: of more, it takes its time."""


@frozen
class Ways:
    """Which ways the connection of a case takes, and the configuration that says it."""

    config: Config
    taken: tuple[Way, ...]


def try_call(case: Case, book: Rulebook) -> tuple[Judgement, str | None]:
    """Judge the connection of a case; and say what is not as it claims, if anything.

    Raises:
        Invalid: It cannot be tried.
    """
    findings = [*_unknown("rule", case.rule, book.numbers, book.source)]
    try:
        judgement = judge(book, Call(case.peer, case.port, case.source))
    except SourceNeeded as error:
        name = book.policy.rules[error.number].name
        place = book.rule_place(error.number)
        what = f"missing: rule {name!r} ({place}) asks where it comes from"
        findings.append(Finding(("source",), what))
        raise Invalid(findings) from None
    if findings:
        raise Invalid(findings)
    return judgement, _wrong_call(case, judgement)


def _wrong_call(case: Case, judgement: Judgement) -> str | None:
    refused = judgement.entry.refused
    rule = judgement.decision.rule or BY_DEFAULT
    if refused is not None:
        found = _failed_for(judgement.verdict, refused.reasons)
        holds = case.rule is None and case.reason in {None, *refused.reasons}
    else:
        found = f"{judgement.verdict}{_by('rule', rule)}"
        holds = case.rule in {None, rule} and case.reason is None
    if holds and judgement.verdict is case.expect:
        return None
    wanted = f"{case.expect}{_by('rule', case.rule)}"
    if case.reason is not None:
        wanted = _failed_for(case.expect, [case.reason])
    return f"expected {wanted}, got {found}"


def try_route(case: RouteCase, book: Rulebook) -> tuple[Ways, str | None]:
    """Find the ways of the connection of a case; and say what is not as it claims.

    Raises:
        Invalid: It cannot be tried.
    """
    if book.config is None:
        what = f"routes are in sidecar.yaml, and {book.source} is a policy"
        raise Invalid([Finding(("to",), f"{what} (name the configuration: config)")])
    names = [route.name for route in book.config.outbound.routes]
    if findings := [*_unknown("route", case.route, names, book.source)]:
        raise Invalid(findings)
    server = None if case.peer is None else Call(case.peer, case.to.port)
    ways = tuple(ways_to(book.config, case.to, case.resolve, server))
    wrong = (_wrong_way(case, way, names) for way in ways)
    first = next((each for each in wrong if each is not None), None)
    return Ways(book.config, ways), first


def _wrong_way(case: RouteCase, way: Way, names: list[str]) -> str | None:
    route = BY_DEFAULT if way.route is None else names[way.route]
    if way.refused is not None:
        verdict = RouteExpectation.DENY
        found = _failed_for(verdict, way.refused.reasons)
        holds = case.reason in {None, *way.refused.reasons}
    else:
        verdict = _mode(way)
        found = f"{verdict}{_by('route', route)}"
        holds = case.reason is None
    if holds and verdict is case.expect and case.route in {None, route}:
        return None
    wanted = f"{case.expect}{_by('route', case.route)}"
    if case.reason is not None:
        wanted = _failed_for(case.expect, [case.reason])
    return f"expected {wanted}, got {found}"


def _mode(way: Way) -> RouteExpectation:
    if isinstance(way.plan, Reject):
        return RouteExpectation.DENY
    if isinstance(way.plan, Originate):
        return RouteExpectation.MTLS
    return RouteExpectation.PLAINTEXT


def _unknown(
    key: str, name: str | None, names: Collection[str], source: str
) -> Iterator[Finding]:
    if name is not None and name != BY_DEFAULT and name not in names:
        guess = suggestion(name, names) if len(names) <= _COMPARED else ""
        what = f"{source} has no {key} of that name, got {shown(name)}{guess}"
        yield Finding((key,), what)


def _failed_for(verdict: str, reasons: Iterable[str]) -> str:
    return f"{verdict} in the handshake ({' or '.join(reasons)})"


def _by(what: str, name: str | None) -> str:
    if name is None:
        return ""
    return " by default" if name == BY_DEFAULT else f" by {what} {name!r}"
