from __future__ import annotations

import os

import pytest

from bench.usage import Stat, cpu_seconds, parse_rss, parse_stat, rss_bytes, tree

TICK = os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("name", ["nginx", "a) R 1 (b", "two words"])
def test_cpu_time_is_read_whatever_the_program_is_called(name: str) -> None:
    times = f"{7 * TICK} {5 * TICK} {2 * TICK} {1 * TICK}"
    text = f"812 ({name}) S 44 812 812 0 -1 4194560 900 0 3 0 {times} 20 0 1 0 5"
    assert parse_stat(text) == Stat(parent=44, cpu_seconds=15)


def test_resident_memory_is_in_bytes() -> None:
    text = "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:    45084 kB\nPss:  1 kB\n"
    assert parse_rss(text) == 45084 * 1024


def test_a_tree_is_its_roots_and_all_below() -> None:
    parents = {1: 0, 10: 1, 11: 10, 12: 11, 20: 1, 21: 20}
    stats = {pid: Stat(parent, 0) for pid, parent in parents.items()}
    assert sorted(tree([10, 21], stats)) == [10, 11, 12, 21]
    assert tree([99], stats) == [99]


def test_this_process_uses_something() -> None:
    assert cpu_seconds([os.getpid()]) > 0
    assert rss_bytes(os.getpid()) > 1 << 20
