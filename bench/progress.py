"""How far it has come, on standard error, and about how long it still takes."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


def seconds_left(planned: float, done: float, elapsed: float) -> float:
    """Estimate from how long the part that is *done* really took (pure)."""
    pace = elapsed / done if done else 1.0
    return max(0.0, planned - done) * pace


def clock(seconds: float) -> str:
    """Write a time as minutes and seconds (pure)."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class Progress:
    """Tells of the steps of something that takes a while; shows it in a `with` block.

    Args:
        planned: About how many seconds all steps take.
        terminal: Draw a bar; else, or without rich, there is a line for each step.
    """

    def __init__(self, planned: float, *, terminal: bool) -> None:
        self._planned = planned
        self._done = 0.0
        self._began = time.monotonic()
        self._bar: Any = _bar() if terminal else None

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._bar is not None:
            self._bar.start()
            self._bar.add_task("", total=self._planned, left="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()

    @contextmanager
    def step(self, what: str, seconds: float) -> Iterator[None]:
        """Show *what* is being done, which takes about so many of the seconds."""
        elapsed = time.monotonic() - self._began
        left = clock(seconds_left(self._planned, self._done, elapsed))
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.update(task, description=what, completed=self._done, left=left)
        else:
            print(f"{left:>6} left  {what}", file=sys.stderr, flush=True)
        yield
        self._done += seconds


def _bar() -> Any:
    try:
        from rich.console import Console  # noqa: PLC0415 - shown without it, too
        from rich.progress import BarColumn, Progress as Bar, TextColumn  # noqa: PLC0415
    except ImportError:
        return None
    columns = BarColumn(30), TextColumn("{task.fields[left]} left  {task.description}")
    return Bar(*columns, console=Console(stderr=True), transient=True)
