"""Quantities of Kubernetes: ``50m``, ``64Mi``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from sidecar.config.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.injector.model import Resources

QUANTITY: Final = r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?"
"""What one is written as; more than nothing it has to be besides."""

_QUANTITY: Final = re.compile(QUANTITY)
_POWERS: Final = {unit: at for at, unit in enumerate("kMGTPE", 1)}


def parse_quantity(text: str) -> Decimal:
    """Read a quantity that is more than nothing.

    Raises:
        ValueError: It is none.
    """
    match = _QUANTITY.fullmatch(text)
    value = Decimal(match[1]) * _factor(match[2] or "") if match else Decimal(0)
    if not value:
        raise ValueError(
            f"expected a quantity, as in '50m' or '64Mi', got {shown(text)}"
        )
    return value


def _factor(unit: str) -> Decimal:
    if unit == "m":
        return Decimal("0.001")
    if unit.endswith("i"):
        return Decimal(1024) ** _POWERS[unit[0].replace("K", "k")]
    return Decimal(1000) ** _POWERS[unit] if unit else Decimal(1)


def too_much(resources: Resources) -> Iterator[tuple[str, str]]:
    """Find what is requested beyond its limit: the resource, and a sentence."""
    for key, request, limit in (
        ("cpu", resources.cpu_request, resources.cpu_limit),
        ("memory", resources.memory_request, resources.memory_limit),
    ):
        if request and limit and parse_quantity(request) > parse_quantity(limit):
            yield key, f"a request is at most the limit, {limit}, got {shown(request)}"
