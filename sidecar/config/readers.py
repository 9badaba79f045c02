"""What single values may be: each reader takes one kind and refuses the rest.

A reader has the signature of a cattrs hook. It returns the value, or raises
`Invalid` with a finding for each rule that the value breaks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Mapping
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from sidecar.config.document import Items, Section
from sidecar.config.place import Finding, Index, Invalid
from sidecar.config.shape import TEXT, Shape, matching, shape_of, shaped
from sidecar.config.wording import quoted, shown, suggestion

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
K = TypeVar("K", bound=Hashable)
Reader: TypeAlias = Callable[[Any, Any], T]

_RESERVED: Final = ("default", "other")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,63}")
_DIGITS: Final = re.compile(r"[1-9][0-9]{0,8}")


def read_text(value: object, _type: object = None) -> str:
    """Take text that is not empty."""
    if not isinstance(value, str):
        hint = " (put it in quotes)" if isinstance(value, (bool, int, float)) else ""
        raise Invalid.here(f"expected text, got {shown(value)}{hint}")
    if not value:
        raise Invalid.here("expected text, got ''")
    return value


def read_name(value: object, _type: object = None) -> str:
    """Take the name of a rule or a route: it becomes the value of a metric label."""
    name = read_text(value)
    if not _NAME.fullmatch(name):
        raise Invalid.here(
            f"a name must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', '-', got {shown(name)}"
        )
    if name in _RESERVED:
        raise Invalid.here(
            f"must not be one of {quoted(_RESERVED)}, as metrics call what has no name "
            f"of its own, got {shown(name)}"
        )
    return name


def read_flag(value: object, _type: object = None) -> bool:
    """Take true or false, and no other word for them."""
    if not isinstance(value, bool):
        raise Invalid.here(f"expected true or false, got {shown(value)}")
    return value


def read_path(value: object, _type: object = None) -> Path:
    """Take the path of a file."""
    if not isinstance(value, str) or not value:
        raise Invalid.here(f"expected the path of a file, got {shown(value)}")
    if "-----BEGIN" in value:
        # Not `shown`: it may be a private key, and this goes to a log.
        raise Invalid.here(
            "expected the path of a file, got PEM text (write it to a file and name "
            "the file here)"
        )
    return Path(value)


shaped(read_text, TEXT)
shaped(read_name, {**matching(_NAME.pattern), "not": {"enum": [*_RESERVED]}})
shaped(read_flag, {"type": "boolean"})
shaped(read_path, TEXT)


def whole(least: int, most: int) -> Reader[int]:
    """Take whole numbers of a range; true and false are not among them."""

    def read(value: object, _type: object = None) -> int:
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not least <= value <= most
        ):
            digits = isinstance(value, str) and value.isdecimal()
            hint = " (remove the quotes)" if digits else ""
            raise Invalid.here(
                f"expected a whole number from {least} to {most}, "
                f"got {shown(value)}{hint}"
            )
        return value

    return shaped(read, {"type": "integer", "minimum": least, "maximum": most})


def whole_key(least: int, most: int) -> Reader[int]:
    """Take whole numbers as keys of a mapping; in quotes, too, as JSON has no others."""
    read_whole = whole(least, most)

    def read(value: object, _type: object = None) -> int:
        plain = isinstance(value, str) and _DIGITS.fullmatch(value)
        return read_whole(int(value) if plain else value, None)  # type: ignore[call-overload]

    digits = rf"[1-9][0-9]{{0,{len(str(most)) - 1}}}"
    return shaped(read, matching(digits))


def seconds(most: int, *, zero: bool = True) -> Reader[float]:
    """Take a duration in seconds; 0 only where *zero* says so."""
    least = "from 0" if zero else "above 0, up"

    def read(value: object, _type: object = None) -> float:
        if (
            not isinstance(value, (int, float))
            or isinstance(value, bool)
            or not math.isfinite(value)
            or not 0 <= value <= most
            or (value == 0 and not zero)
        ):
            raise Invalid.here(
                f"expected a number of seconds {least} to {most}, got {shown(value)}"
            )
        return float(value)

    bound = "minimum" if zero else "exclusiveMinimum"
    return shaped(read, {"type": "number", bound: 0, "maximum": most})


def choice(options: type[E]) -> Reader[E]:
    """Take one word of a closed set."""
    words = [str(option) for option in options]

    def read(value: object, _type: object = None) -> E:
        if not isinstance(value, str) or value not in words:
            raise Invalid.here(
                f"expected one of {quoted(words)}, "
                f"got {shown(value)}{suggestion(value, words)}"
            )
        return options(value)

    return shaped(read, {"enum": words})


def parsed(parse: Callable[[str], T], what: str, shape: Shape = TEXT) -> Reader[T]:
    """Take text that *parse* understands; it says what is wrong by a ValueError.

    Args:
        parse: Raises a ValueError that starts with the rule.
        what: What is expected, where there is no text at all.
        shape: Of the text, as far as JSON Schema can tell.
    """

    def read(value: object, _type: object = None) -> T:
        if not isinstance(value, str) or not value:
            raise Invalid.here(f"expected {what}, got {shown(value)}")
        try:
            return parse(value)
        except ValueError as error:
            raise Invalid.here(str(error)) from None

    return shaped(read, shape)


def listed(each: Reader[T], what: str, empty: str = "") -> Reader[tuple[T, ...]]:
    """Take a list.

    Args:
        each: Takes an item.
        what: What the items are.
        empty: Why a list without any is refused, and what to write instead; where it
            is not given, such a list is fine.
    """

    def read(value: object, _type: object = None) -> tuple[T, ...]:
        if not isinstance(value, Items):
            single = isinstance(value, (str, int))
            hint = f" (write [{shown(value)}])" if single else ""
            raise Invalid.here(f"expected a list of {what}, got {shown(value)}{hint}")
        if empty and not value:
            raise Invalid.here(f"expected at least one, got an empty list ({empty})")
        items: list[T] = []
        findings: list[Finding] = []
        for at, item in enumerate(value):
            try:
                items.append(each(item, None))
            except Invalid as error:
                findings.extend(f.under(Index(at)) for f in error.findings)
        if findings:
            raise Invalid(findings)
        return tuple(items)

    least = {"minItems": 1} if empty else {}
    return shaped(read, {"type": "array", "items": shape_of(each), **least})


def as_set(read_items: Reader[tuple[K, ...]]) -> Reader[frozenset[K]]:
    """Take a list whose order, and what is twice in it, means nothing."""
    # Rules are many, and most of them name the same ports.
    made = lru_cache(1024)(frozenset[K])

    def read(value: object, _type: object = None) -> frozenset[K]:
        return made(read_items(value, None))

    return shaped(read, shape_of(read_items))


def mapping(keys: Reader[K], values: Reader[T], what: str) -> Reader[Mapping[K, T]]:
    """Take a mapping whose keys its author chooses."""

    def read(value: object, _type: object = None) -> Mapping[K, T]:
        if not isinstance(value, Section):
            raise Invalid.here(f"expected a mapping from {what}, got {shown(value)}")
        entries: dict[K, T] = {}
        findings: list[Finding] = []
        for key, item in value.items():
            try:
                name, entry = keys(key, None), values(item, None)
            except Invalid as error:
                findings.extend(f.under(key) for f in error.findings)
                continue
            if name in entries:
                findings.append(Finding((key,), f"duplicate key {shown(key)}"))
            entries[name] = entry
        if findings:
            raise Invalid(findings)
        return entries

    shape = {
        "type": "object",
        "propertyNames": shape_of(keys),
        "additionalProperties": shape_of(values),
    }
    return shaped(read, shape)
