"""SPIFFE IDs and trust domains.

The rules are those of the SPIFFE-ID standard, section 2. Nothing here looks at
certificates: taking the SPIFFE ID out of an SVID is `sidecar.identity.svid`.
"""

from __future__ import annotations

import re
from typing import Any, Final, Self

from attrs import Attribute, field, frozen

SCHEME: Final = "spiffe"
_PREFIX: Final = f"{SCHEME}://"

MAX_LENGTH: Final = 2048
"""What an implementation must take and should not exceed (SPIFFE-ID 2.3)."""

MAX_TRUST_DOMAIN_LENGTH: Final = 255
"""RFC 3986's limit for a host (SPIFFE-ID 2.3)."""

_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]+")  # SPIFFE-ID 2.1
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+")  # SPIFFE-ID 2.2
_SHOWN: Final = 100  # enough to recognise a value, too little to flood a log


class SpiffeIdError(ValueError):
    """The text is not a SPIFFE ID; the message states the rule that it breaks."""


def parse_trust_domain(text: str) -> str:
    """Return *text* if it is the name of a trust domain, such as ``example.org``.

    Upper case is refused rather than folded: the standard demands lower case
    (SPIFFE-ID 2.1), and a name that has only one spelling cannot be confused.

    Raises:
        SpiffeIdError: The text breaks a rule of the standard. No other
            exception escapes, whatever the text.
    """
    if not text:
        raise SpiffeIdError("trust domain must not be empty, got ''")
    if len(text) > MAX_TRUST_DOMAIN_LENGTH:
        raise SpiffeIdError(
            f"trust domain must be at most {MAX_TRUST_DOMAIN_LENGTH} bytes, "
            f"got {len(text)} characters"
        )
    if not _TRUST_DOMAIN.fullmatch(text):
        raise SpiffeIdError(
            f"trust domain must be of a-z, 0-9, '.', '-' and '_', got {_shown(text)}"
        )
    return text


def parse_trust_domain_id(text: str) -> str:
    """Return the trust domain that *text* names, e.g. ``spiffe://example.org``.

    Such an ID, without a path, is what a signing certificate may carry
    (X509-SVID 3.2); it identifies no workload.

    Raises:
        SpiffeIdError: The text is not the ID of a trust domain, or has a path.
    """
    trust_domain, path = _split(text)
    if path:
        raise SpiffeIdError(f"must have no path, got {_shown(text)}")
    return parse_trust_domain(trust_domain)


def _check_trust_domain(_id: SpiffeId, _: Attribute[Any], value: str) -> None:
    parse_trust_domain(value)


def _check_path(_id: SpiffeId, _: Attribute[Any], path: str) -> None:
    if not path.startswith("/"):
        raise SpiffeIdError(f"path must start with '/', got {_shown(path)}")
    for segment in path[1:].split("/"):
        if segment in {"", ".", ".."}:
            raise SpiffeIdError(
                "path must have no empty, '.' or '..' segment and no trailing "
                f"'/', got {_shown(path)}"
            )
        if not _SEGMENT.fullmatch(segment):
            raise SpiffeIdError(
                "path segment must be of a-z, A-Z, 0-9, '.', '-' and '_', "
                f"got {_shown(segment)}"
            )


@frozen(order=True)
class SpiffeId:
    """The identity of one workload, e.g. ``spiffe://example.org/ns/shop/sa/cart``.

    There is always a path: an ID without one names a trust domain, never a
    workload (X509-SVID 3.1). Two SPIFFE IDs are the same workload only if they
    are equal. No invalid one can be made, by `parse` or otherwise.
    """

    trust_domain: str = field(validator=_check_trust_domain)
    path: str = field(validator=_check_path)

    def __attrs_post_init__(self) -> None:
        length = len(_PREFIX) + len(self.trust_domain) + len(self.path)
        if length > MAX_LENGTH:
            raise SpiffeIdError(
                f"must be at most {MAX_LENGTH} bytes, got {length} characters"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a SPIFFE ID.

        Args:
            text: Untrusted text, such as a URI SAN from a peer's certificate.

        Raises:
            SpiffeIdError: The text breaks a rule of the standard. No other
                exception escapes, whatever the text.
        """
        trust_domain, path = _split(text)
        if not path:
            raise SpiffeIdError(
                f"must have a path after the trust domain, got {_shown(text)}"
            )
        return cls(trust_domain, path)

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts of the path between its slashes, at least one."""
        return tuple(self.path[1:].split("/"))

    def __str__(self) -> str:
        return f"{_PREFIX}{self.trust_domain}{self.path}"


def _split(text: str) -> tuple[str, str]:
    """Split into authority and path (with its slash); neither is checked yet."""
    # The scheme is matched exactly. SPIFFE-ID 2.4 calls it case-insensitive, but
    # nothing issues another spelling and one identity should have one text.
    if not text.startswith(_PREFIX):
        raise SpiffeIdError(f"must start with {_PREFIX!r}, got {_shown(text)}")
    authority, slash, path = text[len(_PREFIX) :].partition("/")
    return authority, slash + path


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."
