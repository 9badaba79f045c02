from __future__ import annotations

import pytest

from sidecar.supervisor.backoff import LAST_SECONDS, SETTLED_SECONDS, Backoff


def test_the_first_crash_is_answered_at_once_and_a_row_of_them_ever_later() -> None:
    backoff = Backoff()
    pauses = [backoff.pause(0) for _ in range(9)]
    assert pauses == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5])
    assert max(pauses) == LAST_SECONDS


def test_who_has_served_for_a_while_begins_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.pause(SETTLED_SECONDS / 2)
    assert backoff.pause(SETTLED_SECONDS) == 0
    assert backoff.pause(0) > 0
