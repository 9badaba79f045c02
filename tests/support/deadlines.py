"""Waiting for what another process does, never longer than a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_PAUSE = 0.02


def eventually(attempt: Callable[[], T | None], what: str, seconds: float = 10) -> T:
    """Call `attempt` until it gives something true, and give that.

    Args:
        attempt: is called at least once; `None`, `False` and empty mean not yet.
        what: what was waited for, as the failure names it.
        seconds: the test fails after so long.
    """
    deadline = time.monotonic() + seconds
    while True:
        result = attempt()
        if result:
            return result
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(_PAUSE)
