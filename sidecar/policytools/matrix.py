"""Everybody that a policy names, at every port that it names: who is let in.

A cell is the judgement of one connection. A pattern stands for whoever it matches that
nothing else in the policy names.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from string import ascii_lowercase
from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.config.model import ORIGINAL, Endpoint
from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.pattern import (
    ANY_SEGMENT,
    DnsPattern,
    SpiffePattern,
    SubjectPattern,
)
from sidecar.policytools.entry import Call
from sidecar.policytools.inbound import judge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.config.model import Mode
    from sidecar.identity.peer import Peer
    from sidecar.policy.evaluate import Verdict
    from sidecar.policy.model import Rule
    from sidecar.policy.pattern import PeerPattern
    from sidecar.policytools.entry import Address
    from sidecar.policytools.inbound import Judgement
    from sidecar.policytools.rulebook import Rulebook

_ELSEWHERE: Final[tuple[Address, ...]] = (
    IPv4Address("203.0.113.77"),  # all for documentation: RFC 5737 and RFC 3849
    IPv4Address("198.51.100.77"),
    IPv6Address("2001:db8::77"),
)


@frozen
class Size:
    """How large a matrix may be."""

    peers: int
    ports: int


SCREEN: Final = Size(20, 10)
EVERYTHING: Final = Size(1_000, 100)
"""Past that it is no table that anybody reads."""


@frozen
class Cell:
    """What becomes of a connection.

    Attributes:
        verdict: Of the connection.
        rule: The rule that decides; None for the default, and the handshake.
        by_source: Whether a rule for it asks for the source, and nobody has said it.
        by_dry_run: Whether it would be otherwise with the dry runs in force.
    """

    verdict: Verdict
    rule: str | None
    by_source: bool
    by_dry_run: bool


@frozen
class Matrix:
    """Who is let in where.

    Attributes:
        ports: The columns; None stands for every other port.
        modes: Of each; None where there is only a policy.
        rows: What each peer is called, and its cells.
        peers_left_out: How many rows more there would be.
        ports_left_out: How many columns.
    """

    ports: tuple[int | None, ...]
    modes: tuple[Mode | None, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    peers_left_out: int
    ports_left_out: int


def matrix_of(
    book: Rulebook, source: Address | None = None, size: Size = SCREEN
) -> Matrix:
    """Judge everybody at every port.

    Args:
        book: What decides.
        source: From where; None for a place that no rule names, if there is one.
        size: How large it may be.
    """
    ports, peers, config = _ports(book), _peers(book), book.config
    shown = sorted(ports)[: size.ports]
    other = _other(book, ports)
    columns = [*shown, *([] if other is None else [other])]
    place = source or _elsewhere(book.policy.rules)
    rows = tuple(
        (
            name,
            tuple(
                _cell(book, Call(peer, port, place), certain=source is not None)
                for port in columns
            ),
        )
        for name, peer in list(peers.items())[: size.peers]
    )
    return Matrix(
        tuple(None if port == other else port for port in columns),
        tuple(
            None if config is None else config.inbound.mode_of(port) for port in columns
        ),
        rows,
        max(0, len(peers) - size.peers),
        len(ports) - len(shown),
    )


def _other(book: Rulebook, ports: set[int]) -> int | None:
    """Give a port that nobody names; None if there is none, or nothing leads there."""
    if book.config is not None:
        listeners = book.config.inbound.listeners
        if all(each.destination != ORIGINAL for each in listeners):
            return None
    return next((port for port in range(1, 65536) if port not in ports), None)


def _cell(book: Rulebook, call: Call, *, certain: bool) -> Cell:
    found = judge(book, call)
    if found.entry.refused is not None:
        return Cell(found.verdict, None, by_source=False, by_dry_run=False)
    asks = book.first_with_sources(found.entry.peer, call.port) is not None
    by_source = asks and not certain
    return Cell(found.verdict, found.decision.rule, by_source, _by_dry_run(found))


def _by_dry_run(judgement: Judgement) -> bool:
    dry_run = judgement.decision.dry_run
    return dry_run is not None and dry_run.verdict is not judgement.verdict


def _ports(book: Rulebook) -> set[int]:
    named = {port for rule in book.policy.rules for port in rule.ports or ()}
    if book.config is not None:
        inbound = book.config.inbound
        goals = [each.destination for each in inbound.listeners]
        named |= {goal.port for goal in goals if isinstance(goal, Endpoint)}
        named |= inbound.ports.keys()
    return named


def _elsewhere(rules: Iterable[Rule]) -> Address:
    """Give an address that is in no network which rules name, if there is one."""
    networks = {each for rule in rules for each in rule.sources or ()}
    for address in _ELSEWHERE:
        if not any(address in network for network in networks):
            return address
    return _ELSEWHERE[0]


def _peers(book: Rulebook) -> dict[str, Peer | None]:
    """Give whoever stands for each pattern, by what that is called."""
    rules = book.policy.rules
    patterns = dict.fromkeys(each for rule in rules for each in rule.peers)
    segments = {
        segment
        for each in patterns
        if isinstance(each, SpiffePattern)
        for segment in each.segments
    }
    # Short: a pattern may be as long as a SPIFFE ID may be (SPIFFE-ID 2.3).
    names = (*ascii_lowercase, *map(str, range(len(segments))))
    new = next(name for name in names if name not in segments)
    peers = {str(each): _someone(each, new) for each in patterns}
    domains = [
        each.trust_domain for each in patterns if isinstance(each, SpiffePattern)
    ]
    if book.config is not None:
        domains += book.config.identity.trust_bundles
    for domain in dict.fromkeys(domains):
        peers[f"others of {domain}"] = SpiffeId(domain, f"/{new}")
    peers["unauthenticated"] = peers.pop("unauthenticated", None)
    return peers


def _someone(pattern: PeerPattern, new: str) -> Peer | None:
    match pattern:
        case SpiffePattern(trust_domain, segments, rest):
            path = [new if each == ANY_SEGMENT else each for each in segments]
            path += [new] if rest else []
            return SpiffeId(trust_domain, f"/{'/'.join(path)}")
        case DnsPattern(name, any_label):
            dns = f"{new}.{name}" if any_label else name
            return CertificateNames(frozenset({dns}), ())
        case SubjectPattern(attributes):
            return CertificateNames(frozenset(), tuple(sorted(attributes)))
        case _:
            return None
