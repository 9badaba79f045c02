"""How problems speak of values: bounded, on one line, and never a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SHOWN: Final = 80
"""A problem is one line of a terminal, however long the value."""
_PATH: Final = 255
"""A path is what the operator has to look for, so it is cut later."""


def shown(value: object) -> str:
    """Write a value of a document as its author would recognise it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return _shown_text(value)
    return "a mapping" if isinstance(value, dict) else "a list"


def _shown_text(text: str) -> str:
    # A key pasted where its file's name belongs must not reach a log.
    if "-----BEGIN" in text:
        return "PEM text"
    if len(text) > _SHOWN:
        return f"{text[:_SHOWN]!r}..."
    return repr(text)


def shown_path(path: Path | str | None) -> str:
    """Write a path: plainly, so that it can be copied, where that is safe."""
    text = str(path)
    return text if text.isprintable() and len(text) <= _PATH else shown(text)


def quoted(options: Iterable[str]) -> str:
    """List what may stand somewhere, as in ``'a', 'b'``."""
    return ", ".join(repr(str(option)) for option in options)


def suggestion(value: object, options: Iterable[str]) -> str:
    """Guess what was meant: `` (did you mean 'strict'?)``, or nothing."""
    # A long text is no misspelt word, and comparing it would take long.
    if not isinstance(value, str) or len(value) > _SHOWN:
        return ""
    from difflib import get_close_matches  # noqa: PLC0415 - a sidecar without errors

    word = value.lower().replace("-", "_")
    alike = {option.lower().replace("-", "_"): option for option in options}
    close = get_close_matches(word, alike, n=1)
    return f" (did you mean {alike[close[0]]!r}?)" if close else ""
