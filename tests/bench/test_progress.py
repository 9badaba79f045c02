from __future__ import annotations

import pytest

from bench.progress import Progress, clock, seconds_left


@pytest.mark.parametrize(
    ("planned", "done", "elapsed", "left"),
    [(100, 0, 0, 100), (100, 25, 50, 150), (100, 50, 25, 25), (100, 120, 150, 0)],
)
def test_what_is_left_takes_as_long_as_what_is_done_did(
    planned: float, done: float, elapsed: float, left: float
) -> None:
    assert seconds_left(planned, done, elapsed) == left


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (60, "1:00"), (754, "12:34")]
)
def test_a_time_is_minutes_and_seconds(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_never_reaches_standard_output(
    capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    with Progress(10, terminal=terminal) as progress:
        for what in ("first", "second"):
            with progress.step(what, 5):
                pass
    output = capsys.readouterr()
    assert output.out == ""
    assert terminal or "left  second\n" in output.err
