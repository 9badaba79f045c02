"""The metrics of several processes as those of one. No I/O.

What is counted is added up, and what a worker had counted when it died stays in the
sum: no counter ever goes backwards. What says how things are is added up, or is that of
the process where it is worst: the certificate that ends first, the generation that all
of them have reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from sidecar.telemetry.capped import OTHER, CappedLabels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sidecar.supervisor.family import Family, Key


def _sum(one: float, other: float) -> float:
    return one + other


_COUNTED: Final = frozenset({"counter", "histogram"})

GAUGES: Final[Mapping[str, Callable[[float, float], float]]] = {
    "sidecar_connections_open": _sum,
    "sidecar_connections_limit": _sum,
    "sidecar_svid_not_before_timestamp_seconds": min,
    "sidecar_svid_expiry_timestamp_seconds": min,
    "sidecar_additional_svid_expiry_timestamp_seconds": min,
    "sidecar_bundle_expiry_timestamp_seconds": min,
    "sidecar_generation": min,
    "sidecar_build_info": max,
    "process_virtual_memory_bytes": _sum,
    "process_resident_memory_bytes": _sum,
    "process_open_fds": _sum,
    # The process that began first, and the one that is first to run out.
    "process_start_time_seconds": min,
    "process_max_fds": min,
}
"""How two processes' values of a gauge become one; what is not here is added."""


@frozen
class Cap:
    """A label whose values strangers choose, and how many of them have a series.

    Attributes:
        apart: Labels whose every value has a limit of its own.
    """

    label: str
    limit: int
    apart: tuple[str, ...] = ()


class _Caps:
    """Keeps together what each process keeps by itself: few values for a label.

    A value that has a series has it for ever, and so has one that shares.
    """

    def __init__(self, caps: Mapping[str, Cap]) -> None:
        self._caps = caps
        self._known: dict[tuple[str, ...], CappedLabels] = {}

    def series(self, family: Family) -> Family:
        """Give *family* with the labels past the limit as one."""
        cap = self._caps.get(family.name)
        if cap is None:
            return family
        series: dict[Key, float] = {}
        for key, value in family.items():
            kept = self._kept(family.name, cap, key)
            series[kept] = series.get(kept, 0.0) + value
        return evolve(family, series=series)

    def _kept(self, family: str, cap: Cap, key: Key) -> Key:
        name, labels = key
        apart = (value for label, value in labels if label in cap.apart)
        known = self._known.setdefault((family, *apart), CappedLabels(cap.limit))
        return name, tuple(
            (
                label,
                known.label(value) if label == cap.label and value != OTHER else value,
            )
            for label, value in labels
        )


class Ledger:
    """What all processes have counted, those that are gone included."""

    def __init__(self, caps: Mapping[str, Cap]) -> None:
        self._caps = _Caps(caps)
        self._living: dict[int, tuple[Family, ...]] = {}
        self._dead: tuple[Family, ...] = ()

    def enter(self, slot: int, families: Iterable[Family]) -> None:
        """Take the newest snapshot of the process in *slot*."""
        self._living[slot] = tuple(families)

    def bury(self, slot: int) -> None:
        """The process in *slot* is gone: what it had counted stays."""
        last = self._living.pop(slot, ())
        counted = (family for family in last if family.kind in _COUNTED)
        self._dead = merge((self._dead, counted))

    def total(self, *more: Iterable[Family]) -> tuple[Family, ...]:
        """Give all of it, with the snapshots *more*, as one process would show it."""
        living = (self._living[slot] for slot in sorted(self._living))
        merged = merge((*more, *living, self._dead))
        return tuple(self._caps.series(family) for family in merged)


def merge(snapshots: Iterable[Iterable[Family]]) -> tuple[Family, ...]:
    """Make one snapshot of several; metrics come in the order of the first with them."""
    found: dict[str, Family] = {}
    for families in snapshots:
        for family in families:
            known = found.get(family.name)
            found[family.name] = family if known is None else _both(known, family)
    return tuple(found.values())


def _both(one: Family, other: Family) -> Family:
    combine = _sum if one.kind in _COUNTED else GAUGES.get(one.name, _sum)
    series = dict(one.series)
    for key, value in other.items():
        known = series.get(key)
        series[key] = value if known is None else combine(known, value)
    return evolve(one, series=series)
