"""Lifetimes as people write them: ``1h``, ``30d``."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST: Final = dt.timedelta(days=3650)


def parse_lifetime(text: str) -> dt.timedelta:
    """Parse a lifetime.

    Raises:
        ValueError: The text is none, or longer than ten years. No other exception
            escapes, whatever the text.
    """
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    lifetime = dt.timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
    if not lifetime or lifetime > _LONGEST:
        raise ValueError(
            "must be a number and s, m, h or d, as in 1h, and at most "
            f"{_LONGEST.days}d, got {text!r}"
        )
    return lifetime
