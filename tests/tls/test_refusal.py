from __future__ import annotations

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
