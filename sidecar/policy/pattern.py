"""Patterns of peers, as policy rules and routes write them.

A pattern says by itself whether it matches a peer. Asking many of them at once is for
`sidecar.policy.peer_index`, which gives the same answers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import frozen

from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import (
    MAX_LENGTH,
    SpiffeId,
    SpiffeIdError,
    parse_trust_domain,
)
from sidecar.policy.subject import SubjectError, format_subject, parse_subject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.identity.peer import Peer

ANY_SEGMENT: Final = "*"
ANY_PATH: Final = "**"

_SPIFFE: Final = "spiffe://"
_DNS: Final = "dns:"
_SUBJECT: Final = "subject:"
_UNAUTHENTICATED: Final = "unauthenticated"

MAX_DNS_LENGTH: Final = 253
"""RFC 1035, 2.3.4: 255 octets on the wire, written without the root's label."""

# RFC 1035, 2.3.1, and the underscore that names inside clusters do have.
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_SHOWN: Final = 200  # enough to recognise a value, too little to flood a screen


class PatternError(ValueError):
    """The text is not a pattern of peers; the message states the rule it breaks."""


@frozen
class SpiffePattern:
    """SPIFFE IDs of one trust domain.

    Attributes:
        trust_domain: Exactly this one; a wildcard would trust who is not yet known.
        segments: Segments of the path, `*` for exactly one that may be anything.
        rest: Whether the path goes on, by one segment or more (`**`).
    """

    trust_domain: str
    segments: tuple[str, ...]
    rest: bool = False

    def matches(self, peer: Peer | None) -> bool:
        """Tell whether *peer* has such a SPIFFE ID."""
        if not isinstance(peer, SpiffeId) or peer.trust_domain != self.trust_domain:
            return False
        depth = len(self.segments)
        segments = peer.segments
        if len(segments) <= depth if self.rest else len(segments) != depth:
            return False
        return all(
            wanted in {ANY_SEGMENT, segment}
            for wanted, segment in zip(self.segments, segments, strict=False)
        )

    def __str__(self) -> str:
        tail = (ANY_PATH,) if self.rest else ()
        return f"{_SPIFFE}{self.trust_domain}/{'/'.join(self.segments + tail)}"


@frozen
class DnsPattern:
    """A DNS name of a certificate that has no SPIFFE ID.

    Names are compared as text: a wildcard in the certificate is a label like any
    other, and stands for nothing.

    Attributes:
        name: In lower case.
        any_label: Whether one more label, which may be any, stands before the name.
    """

    name: str
    any_label: bool = False

    def matches(self, peer: Peer | None) -> bool:
        """Tell whether *peer* is a certificate with such a DNS name."""
        if not isinstance(peer, CertificateNames):
            return False
        if not self.any_label:
            return self.name in peer.dns
        return any(parent_of(name) == self.name for name in peer.dns)

    def __str__(self) -> str:
        return f"{_DNS}{'*.' if self.any_label else ''}{self.name}"


@frozen
class SubjectPattern:
    """Attributes of the subject of a certificate that has no SPIFFE ID.

    Values are compared exactly, upper and lower case too.

    Attributes:
        attributes: The subject has all of them, among others and in any order.
    """

    attributes: frozenset[tuple[str, str]]

    def matches(self, peer: Peer | None) -> bool:
        """Tell whether *peer* is a certificate with all these attributes."""
        if not isinstance(peer, CertificateNames):
            return False
        return self.attributes.issubset(peer.subject)

    def __str__(self) -> str:
        return f"{_SUBJECT}{format_subject(self.attributes)}"


@frozen
class Unauthenticated:
    """A peer that showed no certificate: plaintext."""

    def matches(self, peer: Peer | None) -> bool:
        """Tell whether *peer* is nobody."""
        return peer is None

    def __str__(self) -> str:
        return _UNAUTHENTICATED


PeerPattern: TypeAlias = SpiffePattern | DnsPattern | SubjectPattern | Unauthenticated


def parent_of(name: str) -> str:
    """Return what follows the first label of a DNS name, '' if nothing does."""
    label, _, parent = name.partition(".")
    return parent if label else ""


def parse_pattern(text: str) -> PeerPattern:
    """Parse a pattern of peers.

    Args:
        text: What somebody wrote in `policy.yaml` or in a route.

    Raises:
        PatternError: The text breaks a rule. The message has the rule, the text and,
            where it can be guessed, what was meant. No other exception escapes.
    """
    pattern = _parse(text)
    if pattern is None:
        raise PatternError(
            "must start with 'spiffe://', 'dns:' or 'subject:', or be "
            f"'unauthenticated', got {_shown(text)}{_hint(text)}"
        )
    return pattern


def _parse(text: str) -> PeerPattern | None:
    # None: it does not begin like a pattern of any kind.
    if text.startswith(_SPIFFE):
        return _parse_spiffe(text)
    if text.startswith(_DNS):
        return _parse_dns(text.removeprefix(_DNS))
    if text.startswith(_SUBJECT):
        return _parse_subject(text.removeprefix(_SUBJECT))
    return Unauthenticated() if text == _UNAUTHENTICATED else None


def _parse_spiffe(text: str) -> SpiffePattern:
    trust_domain, _, path = text.removeprefix(_SPIFFE).partition("/")
    if ANY_SEGMENT in trust_domain:
        raise PatternError(
            "a trust domain has no wildcard, write one pattern for each trust domain, "
            f"got {_shown(text)}"
        )
    if not path:
        # It would match nobody: a workload's ID has a path (X509-SVID 3.1).
        raise PatternError(
            f"must have a path, '/**' for any below {trust_domain!r}, "
            f"got {_shown(text)}"
        )
    if len(text) > MAX_LENGTH:
        raise PatternError(f"must be at most {MAX_LENGTH} bytes, got {len(text)}")
    segments = tuple(path.split("/"))
    rest = segments[-1] == ANY_PATH
    if rest:
        segments = segments[:-1]
    plain = _without_wildcards(segments, text)
    try:
        parse_trust_domain(trust_domain)
        if plain:
            SpiffeId(trust_domain, f"/{'/'.join(plain)}")
    except SpiffeIdError as error:
        raise PatternError(str(error)) from error
    return SpiffePattern(trust_domain, segments, rest)


def _without_wildcards(segments: tuple[str, ...], text: str) -> list[str]:
    plain = [segment for segment in segments if segment != ANY_SEGMENT]
    if ANY_PATH in plain:
        raise PatternError(
            "'**' must be the last segment, '*' stands for exactly one anywhere, "
            f"got {_shown(text)}"
        )
    if any(ANY_SEGMENT in segment for segment in plain):
        raise PatternError(
            "a wildcard must be a whole segment, '*' for one or '**' at the end for "
            f"one or more, got {_shown(text)}"
        )
    return plain


def _parse_dns(text: str) -> DnsPattern:
    name = text.removeprefix("*.")
    if ANY_SEGMENT in name:
        raise PatternError(
            "'*' must be the leftmost label of a longer name, as in "
            f"'dns:*.example.org', got {_shown(_DNS + text)}"
        )
    # Folded only if it is ASCII: the Kelvin sign would become a plain k.
    lower = name.lower() if name.isascii() else name
    if len(text) > MAX_DNS_LENGTH or not all(map(_LABEL.fullmatch, lower.split("."))):
        raise PatternError(
            "must be a DNS name, labels of a-z, 0-9, '-' and '_' with dots between "
            f"them (others in their xn-- form), got {_shown(_DNS + text)}"
        )
    return DnsPattern(lower, any_label=name != text)


def _parse_subject(text: str) -> SubjectPattern:
    try:
        return SubjectPattern(parse_subject(text))
    except SubjectError as error:
        raise PatternError(str(error)) from error


def _hint(text: str) -> str:
    if text in {ANY_SEGMENT, ANY_PATH}:
        return " (for every peer of a trust domain write 'spiffe://TRUST-DOMAIN/**')"
    for guess in _guesses(text.strip()):
        try:
            pattern = _parse(guess)
        except PatternError:
            continue
        if pattern is not None:
            return f", did you mean {_shown(str(pattern))}?"
    return ""


def _guesses(text: str) -> Iterator[str]:
    kind, colon, name = text.partition(":")
    yield kind.lower() + colon + name
    yield _SPIFFE + text.rpartition("://")[2]
    yield _SUBJECT + text
    if "." in text:
        yield _DNS + text


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."
