"""Moments and distances in time, as problems and notes write them."""

from __future__ import annotations

import datetime as dt
from typing import Final

_UNITS: Final = (
    ("day", dt.timedelta(days=1)),
    ("hour", dt.timedelta(hours=1)),
    ("minute", dt.timedelta(minutes=1)),
    ("second", dt.timedelta(seconds=1)),
)


def stamp(moment: dt.datetime) -> str:
    """Write a moment in UTC, as in ``2026-01-02 03:04:05 UTC``."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def seen_from(moment: dt.datetime, now: dt.datetime) -> str:
    """Write how far away a moment is, as in ``3 days ago`` and ``in 2 hours``."""
    distance = abs(moment - now)
    for name, unit in _UNITS:
        if count := distance // unit:
            length = f"{count} {name}{'' if count == 1 else 's'}"
            return f"{length} ago" if moment < now else f"in {length}"
    return "now"
