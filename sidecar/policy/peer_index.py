"""Many patterns of peers at once: which of them match this peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, assert_never

from sidecar.identity.names import CertificateNames
from sidecar.policy.path_trie import Near, PathTrie
from sidecar.policy.pattern import (
    DnsPattern,
    PeerPattern,
    SpiffePattern,
    SubjectPattern,
    Unauthenticated,
    parent_of,
)
from sidecar.policy.subject_trie import SubjectTrie

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sidecar.identity.peer import Peer
    from sidecar.identity.spiffe_id import SpiffeId

T = TypeVar("T")


class PeerIndex(Generic[T]):
    """A value for each pattern of peers.

    A look-up costs as much as the peer's name is long, whatever the number of
    patterns. It gives what asking every pattern's `matches` would.
    """

    __slots__ = ("_dns", "_parents", "_paths", "_subjects", "_unauthenticated")

    def __init__(self, values: Iterable[tuple[PeerPattern, T]]) -> None:
        """Index *values*; of two for one pattern the later one counts."""
        self._paths: dict[str, PathTrie[T]] = {}
        self._dns: dict[str, T] = {}
        self._parents: dict[str, T] = {}
        self._subjects: SubjectTrie[T] = SubjectTrie()
        self._unauthenticated: tuple[T, ...] = ()
        for pattern, value in values:
            self._insert(pattern, value)

    def _insert(self, pattern: PeerPattern, value: T) -> None:
        match pattern:
            case SpiffePattern(trust_domain, segments, rest):
                trie = self._paths.get(trust_domain)
                if trie is None:
                    trie = self._paths[trust_domain] = PathTrie()
                trie.insert(segments, value, rest=rest)
            case DnsPattern(name, any_label):
                (self._parents if any_label else self._dns)[name] = value
            case SubjectPattern(attributes):
                self._subjects.insert(attributes, value)
            case Unauthenticated():
                self._unauthenticated = (value,)
            case _:
                assert_never(pattern)

    def matching(self, peer: Peer | None) -> Sequence[T]:
        """Return the values of all patterns that match *peer*, in no order."""
        if peer is None:
            return self._unauthenticated
        if isinstance(peer, CertificateNames):
            return self._matching_names(peer)
        trie = self._paths.get(peer.trust_domain)
        return () if trie is None else trie.matching(peer.segments)

    def _matching_names(self, peer: CertificateNames) -> list[T]:
        # A few steps for each name: a certificate that a trusted CA signed, and that
        # fitted in a handshake, bounds them.
        found = self._subjects.matching(peer.subject)
        for name in peer.dns:
            if name in self._dns:
                found.append(self._dns[name])
            parent = parent_of(name)
            if parent in self._parents:
                found.append(self._parents[parent])
        return found

    def nearest(self, peer: SpiffeId, fits: Callable[[T], object]) -> Near[T] | None:
        """Return a pattern that comes close to *peer*, if none matches it.

        Of those as close, rather one whose value *fits*. None if no pattern names
        its trust domain.
        """
        trie = self._paths.get(peer.trust_domain)
        return None if trie is None else trie.nearest(peer.segments, fits)


class PeerSet:
    """All peers that one of some patterns matches, such as a route's servers."""

    __slots__ = ("_index",)

    def __init__(self, patterns: Iterable[PeerPattern]) -> None:
        self._index = PeerIndex((pattern, True) for pattern in patterns)

    def matches(self, peer: Peer | None) -> bool:
        """Tell whether *peer* is in the set."""
        return bool(self._index.matching(peer))
