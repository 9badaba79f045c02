r"""Attributes of a certificate's subject as policy text, such as ``OU=web,O=Acme``.

The escapes are those of RFC 4514, section 2.4: a backslash before a special
character, or before two hexadecimal digits of its UTF-8. A raw ``=`` inside a value
is fine, as it is there. Which certificate has them is for `sidecar.policy.pattern`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ATTRIBUTE_TYPES: Final = ("CN", "L", "ST", "O", "OU", "C", "STREET", "DC", "UID")
"""The short names of RFC 4514, section 3; every other attribute goes by its OID."""

_OID: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+", re.ASCII)
_OIDS: Final = {
    "2.5.4.3": "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
}

# A value, and spaces around it that are not part of it.
_VALUE: Final = re.compile(r' *((?:\\[0-9A-Fa-f]{2}|\\[ "#+,;<=>\\]|[^\\"+;<>])*?) *')
_ESCAPES: Final = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)", re.DOTALL)
_SPECIAL: Final = frozenset('"+,;<>\\')


class SubjectError(ValueError):
    """The text is no list of attributes; the message states the rule it breaks."""


def parse_subject(text: str) -> frozenset[tuple[str, str]]:
    """Return the attributes of *text* by their short names.

    Raises:
        SubjectError: The text is not such a list. No other exception escapes.
    """
    return frozenset(_parse_attribute(part) for part in _split(text))


def format_subject(attributes: Iterable[tuple[str, str]]) -> str:
    """Return the text that `parse_subject` reads as *attributes*, in sorted order."""
    return ",".join(f"{name}={_escaped(value)}" for name, value in sorted(attributes))


def _split(text: str) -> list[str]:
    # At the commas that no backslash makes part of a value.
    parts = [""]
    escaped = False
    for character in text:
        if character == "," and not escaped:
            parts.append("")
            continue
        parts[-1] += character
        escaped = character == "\\" and not escaped
    return parts


def _parse_attribute(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SubjectError(
            "a subject is written ATTRIBUTE=VALUE,ATTRIBUTE=VALUE, and a comma inside "
            f"a value as '\\,', got {text!r}"
        )
    return _parse_type(name.strip()), _parse_value(value)


def _parse_type(text: str) -> str:
    if _OID.fullmatch(text):
        return _OIDS.get(text, text)
    if text.upper() in ATTRIBUTE_TYPES:
        return text.upper()
    raise SubjectError(
        f"attribute must be one of {', '.join(ATTRIBUTE_TYPES)} or a dotted OID, "
        f"got {text!r}"
    )


def _parse_value(text: str) -> str:
    match = _VALUE.fullmatch(text)
    if match is None:
        raise SubjectError(
            "value must have a backslash before each of '\"', '+', ';', '<', '>' and "
            f"'\\', got {text!r}"
        )
    try:
        value = _ESCAPES.sub(_unescaped, match[1])
    except UnicodeDecodeError as error:
        raise SubjectError(
            f"hexadecimal escapes must be UTF-8, got {text!r}"
        ) from error
    if not value:
        raise SubjectError("value must not be empty, got ''")
    return value


def _unescaped(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[2]
    digits = match[1].replace("\\", "")
    # As `sidecar.identity.names` writes what it read, so that a logged name can be
    # pasted into a rule.
    return bytes.fromhex(digits).decode(errors="surrogatepass")


def _escaped(value: str) -> str:
    last = len(value) - 1
    return "".join(
        "\\ " if character == " " and at in {0, last} else _escape(character)
        for at, character in enumerate(value)
    )


def _escape(character: str) -> str:
    if character in _SPECIAL:
        return f"\\{character}"
    if character.isprintable():
        return character
    encoded = character.encode(errors="surrogatepass")
    return "".join(f"\\{byte:02X}" for byte in encoded)
