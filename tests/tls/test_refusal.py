from __future__ import annotations

import datetime as dt

import pytest
from attrs.exceptions import FrozenInstanceError

from sidecar.telemetry.labels import Reason
from sidecar.tls.refusal import Refusal


def test_two_refusals_for_the_same_cause_are_equal() -> None:
    one = Refusal(Reason.EXPIRED, "certificate: it has expired", 10)
    assert one == Refusal(Reason.EXPIRED, "certificate: it has expired", 10)
    assert one != Refusal(Reason.REVOKED, "certificate: it has expired", 10)


def test_a_refusal_is_not_changed_by_whoever_hears_of_it() -> None:
    refusal = Refusal(Reason.EXPIRED, "it has expired", 10)
    with pytest.raises(FrozenInstanceError):
        refusal.code = 0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("offset", "reason"),
    [(None, Reason.EXPIRED), (60, Reason.EXPIRED), (59, Reason.CLOCK_SKEW)],
)
def test_clocks_are_suspected_of_what_is_out_of_time_by_little(
    offset: int | None, reason: Reason
) -> None:
    by = None if offset is None else dt.timedelta(seconds=offset)
    refusal = Refusal(Reason.EXPIRED, "it has expired", 10, by)
    found = refusal.suspecting_clocks(dt.timedelta(seconds=60))
    assert found.reason is reason
    assert (found.detail, found.code) == (refusal.detail, refusal.code)
