from __future__ import annotations

import datetime as dt

import pytest

from sidecar.config.moments import seen_from, stamp

NOW = dt.datetime(2026, 1, 5, 3, 4, 5, tzinfo=dt.UTC)


def test_a_moment_is_written_in_utc() -> None:
    vienna = dt.timezone(dt.timedelta(hours=1))
    assert stamp(NOW.astimezone(vienna)) == "2026-01-05 03:04:05 UTC"


@pytest.mark.parametrize(
    ("distance", "text"),
    [
        (dt.timedelta(days=-3, hours=-5), "3 days ago"),
        (dt.timedelta(days=-1), "1 day ago"),
        (dt.timedelta(hours=23, minutes=59), "in 23 hours"),
        (dt.timedelta(minutes=1), "in 1 minute"),
        (dt.timedelta(seconds=-59), "59 seconds ago"),
        (dt.timedelta(milliseconds=5), "now"),
        (dt.timedelta(0), "now"),
    ],
)
def test_a_distance_has_its_largest_unit_only(
    distance: dt.timedelta, text: str
) -> None:
    assert seen_from(NOW + distance, NOW) == text
