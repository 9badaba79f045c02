"""Who connects, as somebody writes it down: not a pattern, one peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sidecar.config.wording import shown
from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId, SpiffeIdError
from sidecar.policy.pattern import (
    ANY_SEGMENT,
    DnsPattern,
    PatternError,
    SubjectPattern,
    Unauthenticated,
    parse_pattern,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.identity.peer import Peer

_SPIFFE: Final = "spiffe://"


class PeerTextError(ValueError):
    """The text names no peer; the message states the rule that it breaks."""


def parse_peer(texts: Sequence[str], trust_domain: str | None = None) -> Peer | None:
    """Parse a peer; None is one that shows no certificate.

    Args:
        texts: At least one: a SPIFFE ID or ``unauthenticated``, alone; or what one
            certificate is called, as in ``dns:a.example.org`` and ``subject:OU=web``.
        trust_domain: Of a SPIFFE ID that is written without one, as in
            ``ns/shop/sa/cart``.

    Raises:
        PeerTextError: They are something else. No other exception escapes, whatever
            the texts.
    """
    if len(texts) == 1:
        (text,) = texts
        if text.startswith(_SPIFFE):
            return _spiffe_id(text)
        if trust_domain is not None and ":" not in text:
            return _spiffe_id(f"{_SPIFFE}{trust_domain}/{text.removeprefix('/')}")
    names = [name for text in texts if (name := _name(text)) is not None]
    if len(names) < len(texts):
        if len(texts) == 1:
            return None
        raise PeerTextError(
            "'unauthenticated' stands alone: who shows no certificate has no names, "
            f"got {len(texts)} peers"
        )
    dns: set[str] = set()
    subject: list[tuple[str, str]] = []
    for name in names:
        if isinstance(name, DnsPattern):
            dns.add(name.name)
        else:
            subject += sorted(name.attributes)
    return CertificateNames(frozenset(dns), tuple(subject))


def _spiffe_id(text: str) -> SpiffeId:
    if ANY_SEGMENT in text:
        raise PeerTextError(
            "one workload connects at a time, and its SPIFFE ID has no '*': write a "
            f"whole one, got {shown(text)}"
        )
    try:
        return SpiffeId.parse(text)
    except SpiffeIdError as error:
        raise PeerTextError(str(error)) from None


def _name(text: str) -> DnsPattern | SubjectPattern | None:
    if "/" in text and ":" not in text:
        path = text.removeprefix("/")
        raise PeerTextError(
            "a path needs its trust domain: write 'spiffe://TRUST-DOMAIN/"
            f"{shown(path)[1:]} or name that beside it, got {shown(text)}"
        )
    try:
        pattern = parse_pattern(text)
    except PatternError as error:
        raise PeerTextError(str(error)) from None
    if isinstance(pattern, Unauthenticated):
        return None
    if isinstance(pattern, DnsPattern | SubjectPattern):
        if isinstance(pattern, DnsPattern) and pattern.any_label:
            raise PeerTextError(
                f"one certificate is shown at a time: write a whole name, got {shown(text)}"
            )
        return pattern
    raise PeerTextError(
        f"a certificate with a SPIFFE ID is known by nothing else, got {shown(text)} "
        "beside other names"
    )
