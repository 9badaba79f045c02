"""What a worker says of itself, each second and when it is asked. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from sidecar.config.model import LogLevel
from sidecar.supervisor.family import Family
from sidecar.supervisor.frames import FrameError

if TYPE_CHECKING:
    from collections.abc import Mapping


@frozen(kw_only=True)
class Report:
    """How a worker is.

    Attributes:
        awaited: What keeps it from being ready.
        warnings: What its operator should read, by subject.
        accepting: Whether its listening sockets are open.
        level: What it logs.
        families: What it has counted.
    """

    awaited: tuple[str, ...] = ()
    warnings: Mapping[str, str]
    accepting: bool
    level: LogLevel
    families: tuple[Family, ...]

    @property
    def generations(self) -> dict[str, int]:
        """Which generation of what it serves."""
        return {
            value: int(number)
            for family in self.families
            if family.name == "sidecar_generation"
            for (_, labels), number in family.items()
            for label, value in labels
            if label == "what"
        }

    def to_value(self) -> dict[str, Any]:
        """Give it as JSON can carry it."""
        return {
            "awaited": list(self.awaited),
            "warnings": dict(self.warnings),
            "accepting": self.accepting,
            "level": self.level.value,
            "families": [family.to_value() for family in self.families],
        }

    @classmethod
    def from_value(cls, value: Any) -> Report:
        """Read what `to_value` gave.

        Raises:
            FrameError: It is anything else.
        """
        match value:
            case {
                "awaited": list(awaited),
                "warnings": dict(warnings),
                "accepting": bool(accepting),
                "level": str(level),
                "families": list(families),
            } if level in list(LogLevel) and _all_text(awaited, warnings.values()):
                return cls(
                    awaited=tuple(awaited),
                    warnings=warnings,
                    accepting=accepting,
                    level=LogLevel(level),
                    families=tuple(map(Family.from_value, families)),
                )
        raise FrameError("report: expected a worker's report, got something else")


def _all_text(*values: Any) -> bool:
    return all(isinstance(each, str) for some in values for each in some)
