from __future__ import annotations

from sidecar.workload.backoff import FIRST_SECONDS, LAST_SECONDS, Backoff


def pauses(chance: float, count: int) -> list[float]:
    backoff = Backoff(lambda: chance)
    return [backoff.pause() for _ in range(count)]


def test_each_pause_is_twice_as_long_up_to_half_a_minute() -> None:
    assert pauses(1, 8) == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_chance_takes_away_up_to_half_of_it() -> None:
    assert pauses(0, 2) == [FIRST_SECONDS / 2, FIRST_SECONDS]
    assert pauses(0, 20)[-1] == LAST_SECONDS / 2


def test_an_answer_ends_it() -> None:
    backoff = Backoff(lambda: 1)
    for _ in range(5):
        backoff.pause()
    backoff.reset()
    assert backoff.pause() == FIRST_SECONDS
