"""Which rules of a long policy are worth showing."""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Final

from sidecar.policytools.inbound import Effect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.policytools.inbound import Said
    from sidecar.policytools.statement import Distance

SHOWN: Final = 10
"""As many as a screen has room for, beside the verdict."""


def nearest(said: Sequence[Said], most: int | None = SHOWN) -> list[Said]:
    """Give the rules that match, and the nearest that do not, in the order of the file.

    Args:
        said: By every rule.
        most: How many at most; None for all of them.
    """
    if most is None:
        return [*said]
    found = nsmallest(most, said, key=_rank)
    return sorted(found, key=lambda each: each.statement.number)


def _rank(said: Said) -> tuple[bool, Distance]:
    spoken_of = said.effect in {Effect.DECIDES, Effect.WOULD_DECIDE}
    return not spoken_of, said.statement.distance
