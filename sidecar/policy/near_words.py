"""The words in which a rule that does not apply is told from what was asked."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sidecar.policy.model import Network
    from sidecar.policy.path_trie import Near
    from sidecar.policy.scope import Source

T = TypeVar("T")

_QUOTED: Final = 60
_LISTED: Final = 3  # more ports or networks than these are counted instead


def difference(near: Near[T], *, only: bool = True) -> str:
    """Say in what the nearest pattern differs from a path that it does not match.

    Args:
        near: Of the path.
        only: Whether nothing but the path is in the way.
    """
    segment = near.depth + 1
    if near.only:
        how = f"differs {'only ' if only else ''}in segment {segment}"
    elif near.depth:
        how = f"differs from segment {segment} on"
    else:
        how = "names another path of this trust domain"
    return f"{how}: {_path(near.expected)}, not {_path(near.found)}"


def listed(noun: str, values: Collection[int] | Collection[Network]) -> str:
    """Name a few values, as in ``port 80 or 81``, or count them."""
    few = 0 < len(values) <= _LISTED
    return f"{noun} {some(noun, values)}" if few else some(noun, values)


def some(noun: str, values: Collection[int] | Collection[Network]) -> str:
    """Name a few values, as in ``80 or 81``, or count them."""
    if 0 < len(values) <= _LISTED:
        return " or ".join(sorted(map(str, values)))
    return f"{len(values)} {noun}s"


def address_text(source: Source) -> str:
    """Write the address that rules compare."""
    version, number = source
    return str(IPv4Address(number) if version == 4 else IPv6Address(number))


def quoted(text: str) -> str:
    """Quote *text*, on one line and cut where it is long."""
    # Cut twice: what is not printable takes several characters.
    cut = repr(text[:_QUOTED])
    if len(cut) > _QUOTED + 2:
        cut = cut[: _QUOTED + 1] + cut[0]
    return cut if len(text) <= _QUOTED else f"{cut}..."


def _path(segments: Sequence[str]) -> str:
    return quoted("/".join(segments)) if segments else "the end"
