"""How long to wait before an agent is asked again. No clock and no chance of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_SECONDS: Final = 0.5
LAST_SECONDS: Final = 30.0


class Backoff:
    """Waits twice as long after each failure in a row, up to half a minute.

    An agent has every workload of its node as a client, and they all lose it in the
    same moment: each waits between half of that time and all of it, as *chance*
    (from 0 to 1) has it.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._next = FIRST_SECONDS

    def reset(self) -> None:
        """Begin anew: there was an answer."""
        self._next = FIRST_SECONDS

    def pause(self) -> float:
        """Give the seconds to wait now."""
        pause = self._next * (1 + self._chance()) / 2
        self._next = min(2 * self._next, LAST_SECONDS)
        return pause
