"""The one way in which a measurement fails."""

from __future__ import annotations


class Unmeasured(Exception):
    """Why there is no figure; the message stands where the figure would."""
