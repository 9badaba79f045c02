"""Bundles as SPIFFE writes them: JWK Sets (SPIFFE Trust Domain and Bundle, 4)."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from attrs import frozen
from cryptography import x509

from sidecar.identity.reading import UNREADABLE

_USE: Final = "x509-svid"  # X509-SVID 6; the other kind is jwt-svid
_KEY_TYPES: Final = frozenset({"EC", "OKP", "RSA"})  # RFC 7518 6.1, RFC 8037 2
_LARGEST: Final = 2**64 - 1
_SHOWN: Final = 60


class JwksError(ValueError):
    """The text is no SPIFFE bundle; the message says where, and the rule."""


@frozen
class JwkSet:
    """What a SPIFFE bundle says about X.509-SVIDs.

    Attributes:
        certificates: One of each key, in order; none where the trust domain has
            revoked them all, or has only keys of kinds that are unknown here.
        sequence: Grows with each change of the bundle.
        refresh_hint: How often to look for a new one, in seconds.
    """

    certificates: tuple[x509.Certificate, ...]
    sequence: int | None = None
    refresh_hint: int | None = None

    @classmethod
    def parse(cls, data: bytes) -> JwkSet:
        """Read a bundle.

        Raises:
            JwksError: It is none. No other exception escapes, whatever the bytes.
        """
        document = _read(data)
        if "keys" not in document:
            raise JwksError("must have keys, an empty list where nothing is trusted")
        keys = document["keys"]
        if not isinstance(keys, list):
            raise JwksError(f"keys must be a list, got {_shown(keys)}")
        found = (_certificate(key, f"keys[{at}]") for at, key in enumerate(keys))
        return cls(
            tuple(each for each in found if each is not None),
            _number(document, "spiffe_sequence"),
            _number(document, "spiffe_refresh_hint"),
        )


def looks_like_jwks(data: bytes) -> bool:
    """Tell a JSON object from PEM and anything else by its first character."""
    return data.lstrip()[:1] == b"{"


def _read(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(
            data.decode(), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except JwksError:
        raise
    except (ValueError, RecursionError):
        # Not the parser's own words: they may quote what stands there.
        raise JwksError("must be JSON, got something else") from None
    if not isinstance(document, dict):
        raise JwksError(f"must be a JSON object, got {_shown(document)}")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse what is there twice: readers differ in which of the two counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JwksError(f"each key must be there once, got {_shown(twice)} twice")
    return found


def _no_constant(name: str) -> None:
    raise JwksError(f"must be JSON, got {name}")


def _number(document: dict[str, Any], name: str) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise JwksError(f"{name} must be a whole number, got {_shown(value)}")
    if not 0 <= value <= _LARGEST:
        raise JwksError(f"{name} must be from 0 to {_LARGEST}, got another number")
    return value


def _certificate(key: Any, place: str) -> x509.Certificate | None:
    if not isinstance(key, dict):
        raise JwksError(f"{place}: must be an object, got {_shown(key)}")
    # What is unknown is passed over (4.2.1, 4.2.2): it is for those who know it.
    if _text(key, "kty", place) not in _KEY_TYPES or _text(key, "use", place) != _USE:
        return None
    chain = key.get("x5c", [])
    if not isinstance(chain, list):
        raise JwksError(f"{place}.x5c: must be a list, got {_shown(chain)}")
    if not chain:  # X509-SVID 6.2: ignored, as are all certificates but the first
        return None
    try:
        der = base64.b64decode(chain[0], validate=True)
        return x509.load_der_x509_certificate(der)
    except (*UNREADABLE, x509.InvalidVersion):
        got = _shown(chain[0])
        raise JwksError(
            f"{place}.x5c[0]: must be a certificate in DER and base64, got {got}"
        ) from None


def _text(key: dict[str, Any], name: str, place: str) -> str | None:
    value = key.get(name)
    if value is not None and not isinstance(value, str):
        raise JwksError(f"{place}.{name} must be text, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    return f"{value!r:.{_SHOWN}}"
