from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from sidecar.net.descriptors import room_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def open_files() -> Iterator[Callable[[int], None]]:
    """Set the soft limit; it is what it was afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limit(files: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))

    yield limit
    limit(soft)


def test_a_connection_takes_two_and_some_are_for_others(
    open_files: Callable[[int], None],
) -> None:
    open_files(1024)
    assert room_for(10_000, 2) == (1024 - 64 - 2) // 2


def test_no_more_than_was_asked_for(open_files: Callable[[int], None]) -> None:
    open_files(1024)
    assert room_for(100, 2) == 100


def test_there_is_room_for_one_at_least(open_files: Callable[[int], None]) -> None:
    open_files(64)
    assert room_for(10_000, 40) == 1
