"""What one rule says to one connection: it matches, or which parts of it do not.

Nothing is compared here. Every part is asked in the way in which `RuleIndex.first`
asks it, of the index of a policy that has no other rule.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from sidecar.identity.names import CertificateNames
from sidecar.policy.near_words import address_text, difference, quoted, some
from sidecar.policy.peer_index import PeerIndex
from sidecar.policy.scope import Scopes, Sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sidecar.identity.peer import Peer
    from sidecar.policy.model import Rule
    from sidecar.policy.scope import Source

Distance: TypeAlias = tuple[int, int, int]
"""How far a rule is from a connection: compared, the smaller is the nearer."""


class Part(StrEnum):
    """What a rule asks about."""

    PEER = "peer"
    PORT = "port"
    SOURCE = "source"


@frozen
class Miss:
    """One part of a rule that does not match, and why."""

    part: Part
    what: str


@frozen
class Statement:
    """What one rule says.

    Attributes:
        number: The rule's place in the file, from 0.
        misses: Everything that does not match; nothing if the rule matches.
        distance: Of the rule; the peer counts most.
    """

    number: int
    misses: tuple[Miss, ...]
    distance: Distance

    @property
    def matches(self) -> bool:
        """Whether the rule is about this connection."""
        return not self.misses


def statement_of(
    rules: Sequence[Rule],
    number: int,
    peer: Peer | None,
    port: int,
    source: Source | None,
) -> Statement:
    """Say what the rule *number* of *rules* says.

    Args:
        rules: Those of a policy.
        number: From 0.
        peer: Who connects, None if it showed no certificate.
        port: The destination port.
        source: From where; None leaves that part of the rule unasked.
    """
    peers = PeerIndex((pattern, number) for pattern in rules[number].peers)
    others = tuple(_scope_misses(rules, number, port, source))
    if peers.matching(peer):
        return Statement(number, others, (0, 0, len(others)))
    what, kind, depth = _peer_miss(peers, peer, only=not others)
    misses = (Miss(Part.PEER, what), *others)
    return Statement(number, misses, (kind, -depth, len(others)))


def _peer_miss(
    peers: PeerIndex[int], peer: Peer | None, *, only: bool
) -> tuple[str, int, int]:
    """Say why a peer is not meant, how far it is from it, and to which depth alike."""
    if peer is None:
        return "names no unauthenticated peer", 3, 0
    if isinstance(peer, CertificateNames):
        return f"does not name {quoted(str(peer))}", 3, 0
    near = peers.nearest(peer, lambda _number: True)
    if near is None:
        domain = quoted(peer.trust_domain)
        return f"names nobody of the trust domain {domain}", 3, 0
    return difference(near, only=only), 1 if near.only else 2, near.depth


def _scope_misses(
    rules: Sequence[Rule], number: int, port: int, source: Source | None
) -> Iterator[Miss]:
    if not Scopes(rules).of((number,)).at(port):
        ports = some("port", rules[number].ports or ())
        yield Miss(Part.PORT, f"{ports}, not {port}")
    if source is not None and Sources(rules, (number,)).match(source) is None:
        networks = some("network", rules[number].sources or ())
        yield Miss(Part.SOURCE, f"{networks}, not {address_text(source)}")
