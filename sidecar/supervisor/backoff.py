"""How long to wait before a worker that ended is started again. No clock of its own."""

from __future__ import annotations

from typing import Final

FIRST_SECONDS: Final = 0.1
LAST_SECONDS: Final = 5.0

SETTLED_SECONDS: Final = 10.0
"""Who has served for so long did not die of its start."""


class Backoff:
    """Waits little after a crash, longer after each of several in a row."""

    def __init__(self) -> None:
        self._next = 0.0

    def pause(self, served_seconds: float) -> float:
        """How long to wait, after one that served for *served_seconds*.

        The first crash is answered at once; then it is 0.1 s, doubled up to 5 s.
        """
        if served_seconds >= SETTLED_SECONDS:
            self._next = 0.0
        pause = self._next
        self._next = min(max(FIRST_SECONDS, 2 * pause), LAST_SECONDS)
        return pause
