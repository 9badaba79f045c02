"""A certificate that is used before its time or after it: by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from sidecar.config.moments import seen_from, stamp
from sidecar.telemetry.labels import Reason

if TYPE_CHECKING:
    from datetime import datetime, timedelta


@frozen
class Untimely:
    """How a certificate is out of its time.

    Attributes:
        reason: Expired, or not yet valid.
        offset: By how much; above zero.
        detail: The same in words, with the moment that was missed.
    """

    reason: Reason
    offset: timedelta
    detail: str


def untimely(begin: datetime, end: datetime, now: datetime) -> Untimely | None:
    """Say how *now* misses the period; None if it does not, both ends being in it."""
    if now < begin:
        detail = f"valid {seen_from(begin, now)}, from {stamp(begin)}"
        return Untimely(Reason.NOT_YET_VALID, begin - now, detail)
    if now > end:
        detail = f"expired {seen_from(end, now)}, {stamp(end)}"
        return Untimely(Reason.EXPIRED, now - end, detail)
    return None


def blamed_on_clocks(reason: Reason, offset: timedelta, skew: timedelta) -> Reason:
    """Give the reason under which a peer refuses it that allows for *skew*."""
    return Reason.CLOCK_SKEW if offset < skew else reason
