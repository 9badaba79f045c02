from __future__ import annotations

import datetime as dt

import pytest

from sidecar.telemetry.labels import Reason
from sidecar.tls.validity import Untimely, blamed_on_clocks, untimely

BEGIN = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
END = BEGIN + dt.timedelta(hours=1)
SECOND = dt.timedelta(seconds=1)


@pytest.mark.parametrize("now", [BEGIN, BEGIN + SECOND, END - SECOND, END])
def test_both_ends_are_in_the_period(now: dt.datetime) -> None:
    assert untimely(BEGIN, END, now) is None


def test_too_early_says_when_it_begins() -> None:
    assert untimely(BEGIN, END, BEGIN - 3 * SECOND) == Untimely(
        Reason.NOT_YET_VALID,
        3 * SECOND,
        "valid in 3 seconds, from 2030-01-01 12:00:00 UTC",
    )


def test_too_late_says_since_when() -> None:
    assert untimely(BEGIN, END, END + 12 * SECOND) == Untimely(
        Reason.EXPIRED, 12 * SECOND, "expired 12 seconds ago, 2030-01-01 13:00:00 UTC"
    )


@pytest.mark.parametrize(
    ("skew", "reason"),
    [
        (0, Reason.EXPIRED),
        (12, Reason.EXPIRED),
        (13, Reason.CLOCK_SKEW),
    ],
)
def test_clocks_are_blamed_for_less_than_they_may_differ(
    skew: int, reason: Reason
) -> None:
    assert blamed_on_clocks(Reason.EXPIRED, 12 * SECOND, skew * SECOND) is reason
