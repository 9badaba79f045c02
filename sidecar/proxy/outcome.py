"""How a connection that does not reach the relay says so."""

from __future__ import annotations

from sidecar.telemetry.labels import Outcome, Reason


class Refused(Exception):
    """The connection was turned away, or broke before it was relayed.

    It carries what to report; the message is for the log and never for the peer.
    """

    def __init__(
        self, outcome: Outcome, detail: str, reason: Reason = Reason.OK
    ) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.reason = reason
