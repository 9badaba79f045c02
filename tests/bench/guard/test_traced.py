from __future__ import annotations

from collections import Counter

from hypothesis import given, strategies as st

from bench.guard.traced import count_within, parse

LOG = """\
812 1700000000.100000 epoll_wait(9, [{events=EPOLLIN, data=...}], 256, 1) = 1
812 1700000000.200000 recvfrom(11, ""..., 16384, 0, NULL, NULL) = 45
813 1700000000.250000 futex(0x7f, FUTEX_WAIT <unfinished ...>
812 1700000000.300000 sendto(12, ""..., 67, 0, NULL, 0) = 67
813 1700000000.350000 <... futex resumed>) = 0
812 1700000000.400000 --- SIGTERM {si_signo=SIGTERM} ---
812 1700000000.500000 +++ exited with 0 +++
"""


def test_a_call_counts_where_it_begins() -> None:
    assert [name for _, name in parse(LOG.splitlines())] == [
        "epoll_wait",
        "recvfrom",
        "futex",
        "sendto",
    ]


def test_only_what_begins_in_the_moment_counts() -> None:
    calls = list(parse(LOG.splitlines()))
    found = count_within(1700000000.2, 1700000000.3, calls)
    assert found == Counter(recvfrom=1, futex=1)


@given(st.text(max_size=80))
def test_any_line_is_a_call_or_none(line: str) -> None:
    assert len(list(parse([line]))) <= 1
