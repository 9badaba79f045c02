"""Changes to a text, made all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.injector.yaml_tree import Text

Edit: TypeAlias = tuple[int, int, str]
"""From where, to where, and what stands there instead."""


class Unspliceable(ValueError):
    """The text cannot be edited in place; says where."""


def with_edits(text: Text, edits: Iterable[Edit]) -> str:
    """Give a text with all edits made; those at one place in the order given.

    What is added behind a last line that has no end has none either, so that taking it
    away leaves the text that there was.

    Raises:
        Unspliceable: Two of them are about the same part of it.
    """
    whole = text.text
    ordered = sorted(edits, key=lambda edit: edit[0])
    if not whole.endswith(("\n", "\r")):
        ordered = [_at_the_end(text, edit) for edit in _merged(ordered)]
    parts: list[str] = []
    at = 0
    for start, end, new in ordered:
        if start < at:
            raise Unspliceable("two changes at one place")
        parts += [whole[at:start], new]
        at = end
    return "".join([*parts, whole[at:]])


def _merged(edits: Iterable[Edit]) -> list[Edit]:
    """Make one of what is taken away line by line."""
    merged: list[Edit] = []
    for start, end, new in edits:
        if merged and not new and not merged[-1][2] and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end, "")
        else:
            merged.append((start, end, new))
    return merged


def _at_the_end(text: Text, edit: Edit) -> Edit:
    start, end, new = edit
    size, newline = len(text.text), text.newline
    if start == end == size:
        return start, end, newline + new.removesuffix(newline)
    if end == size and not new and text.text.endswith(newline, 0, start):
        return start - len(newline), end, ""
    return edit
