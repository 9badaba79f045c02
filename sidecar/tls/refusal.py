"""Why a peer's certificate is refused, as a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from sidecar.tls.validity import blamed_on_clocks

if TYPE_CHECKING:
    from datetime import timedelta

    from sidecar.telemetry.labels import Reason


@frozen
class Refusal:
    """Why a peer's certificate is refused, and with which error of OpenSSL.

    Attributes:
        offset: By how much the certificate is out of its time, if it is that.
    """

    reason: Reason
    detail: str
    code: int
    offset: timedelta | None = None

    def suspecting_clocks(self, skew: timedelta) -> Refusal:
        """Name the clocks as the reason where they need differ by *skew* at most.

        For who shows a certificate now: it is most likely good by the own clock.
        """
        if self.offset is None:
            return self
        return evolve(self, reason=blamed_on_clocks(self.reason, self.offset, skew))
