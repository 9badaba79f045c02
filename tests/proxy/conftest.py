"""What every test of a connection's life is held to."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from trio.testing import MockClock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_descriptor_is_left_open() -> Iterator[None]:
    before = descriptors()
    yield
    if descriptors() - before:
        # A socket that only now is found to be garbage warns, and fails the test.
        gc.collect()
    assert descriptors() <= before


def descriptors() -> set[str]:
    """What is open, each with its number: ``7 socket:[4711]``."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found.add(f"{path.name} {path.readlink()}")
    return found


@pytest.fixture
def clock() -> MockClock:
    """Jumps to the next deadline when nothing has happened for a while.

    For a while: what is sent over loopback may take a moment to arrive.
    """
    return MockClock(autojump_threshold=0.02)
