"""A metric with its series as a plain value, between processes. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import frozen

from sidecar.supervisor.frames import FrameError

if TYPE_CHECKING:
    from collections.abc import Mapping

Key: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""A series: its name, and its labels in the order in which they are written."""

KINDS: Final = ("counter", "gauge", "histogram")


@frozen
class Family:
    """One metric.

    Attributes:
        name: Without the ending that its series may have.
        kind: What Prometheus calls its type.
        about: Its help text.
        series: The value of each.
    """

    name: str
    kind: str
    about: str
    series: Mapping[Key, float]

    def to_value(self) -> list[Any]:
        """Give it as JSON can carry it."""
        rows = [[name, dict(labels), value] for (name, labels), value in self.items()]
        return [self.name, self.kind, self.about, rows]

    def items(self) -> list[tuple[Key, float]]:
        """Give each series with its value."""
        return list(self.series.items())

    @classmethod
    def from_value(cls, value: Any) -> Family:
        """Read what `to_value` gave.

        Raises:
            FrameError: It is anything else.
        """
        match value:
            case [str(name), str(kind), str(about), list(rows)] if kind in KINDS:
                return cls(name, kind, about, dict(map(_series, rows)))
        raise FrameError(f"family: expected a metric, got {_short(value)}")


def _series(row: Any) -> tuple[Key, float]:
    match row:
        case [str(name), dict(labels), int(value) | float(value)] if all(
            isinstance(each, str) for each in labels.values()
        ):
            try:
                return (name, tuple(labels.items())), float(value)
            except OverflowError:
                pass
    raise FrameError(f"family: expected a series, got {_short(row)}")


def _short(value: object) -> str:
    return repr(value)[:60]
