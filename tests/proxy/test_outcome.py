from __future__ import annotations

from sidecar.proxy.outcome import Refused
from sidecar.telemetry.labels import Outcome, Reason


def test_it_carries_what_to_report() -> None:
    refused = Refused(Outcome.HANDSHAKE_FAILED, "too late", Reason.EXPIRED)
    assert refused.outcome is Outcome.HANDSHAKE_FAILED
    assert refused.reason is Reason.EXPIRED
    assert str(refused) == "too late"


def test_without_a_handshake_there_is_no_reason() -> None:
    assert Refused(Outcome.LOOP, "ours").reason is Reason.OK
