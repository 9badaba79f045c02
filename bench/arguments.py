"""What is common to the arguments of the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


class BadArgument(Exception):
    """An argument that cannot be; the message says which and what could be."""


def chosen(names: str, known: Mapping[str, T], option: str) -> list[T]:
    """Return what *names* name, separated by commas; all of it where there is none.

    Raises:
        BadArgument: One of them is unknown.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise BadArgument(f"{option}: must be of {', '.join(known)}, got {name!r}")
    return [known[name] for name in wanted or known]
