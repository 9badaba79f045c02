"""The first thing that a worker is told: what it inherits. No I/O.

Its files may have changed since the supervisor began. Listeners do not change without
a restart, so they come from the supervisor, each with the descriptor of its socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from sidecar.config.model import ORIGINAL, Endpoint, Listener, LogLevel
from sidecar.supervisor.frames import FrameError
from sidecar.telemetry.labels import Direction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.config.check import Checked


@frozen
class Inherited:
    """A listener whose socket is bound already; *fd* is its descriptor."""

    direction: Direction
    listener: Listener
    fd: int


@frozen
class Welcome:
    """What a worker begins with.

    Attributes:
        level: What the others log now.
        generations: Where the generations of the others are.
    """

    inherited: tuple[Inherited, ...]
    level: LogLevel
    generations: Mapping[str, int]

    def applied_to(self, checked: Checked) -> Checked:
        """Give *checked* with the listeners that are inherited."""
        config = checked.config
        return evolve(
            checked,
            config=evolve(
                config,
                inbound=evolve(
                    config.inbound, listeners=self._listeners(Direction.INBOUND)
                ),
                outbound=evolve(
                    config.outbound, listeners=self._listeners(Direction.OUTBOUND)
                ),
            ),
        )

    def _listeners(self, direction: Direction) -> tuple[Listener, ...]:
        return tuple(
            each.listener for each in self.inherited if each.direction is direction
        )

    def to_value(self) -> dict[str, Any]:
        """Give it as JSON can carry it."""
        return {
            "inherited": [
                [
                    each.direction.value,
                    _endpoint(each.listener.listen),
                    _destination(each.listener),
                    each.fd,
                    each.listener.transparent,
                ]
                for each in self.inherited
            ],
            "level": self.level.value,
            "generations": dict(self.generations),
        }

    @classmethod
    def from_value(cls, value: Any) -> Welcome:
        """Read what `to_value` gave.

        Raises:
            FrameError: It is anything else.
        """
        match value:
            case {
                "inherited": list(inherited),
                "level": str(level),
                "generations": dict(generations),
            } if level in list(LogLevel) and all(
                isinstance(each, int) for each in generations.values()
            ):
                return cls(
                    tuple(map(_inherited, inherited)),
                    LogLevel(level),
                    generations,
                )
        raise FrameError("welcome: expected a supervisor's, got something else")


def _endpoint(endpoint: Endpoint) -> list[Any]:
    return [endpoint.host, endpoint.port]


def _destination(listener: Listener) -> Any:
    goes = listener.destination
    return _endpoint(goes) if isinstance(goes, Endpoint) else goes


def _inherited(value: Any) -> Inherited:
    match value:
        case [
            str(direction),
            [str(host), int(port)],
            goes,
            int(fd),
            bool(transparent),
        ] if direction in list(Direction):
            listener = Listener(Endpoint(host, port), _goes(goes), transparent)
            return Inherited(Direction(direction), listener, fd)
    raise FrameError(f"welcome: expected a listener, got {value!r:.60}")


def _goes(value: Any) -> Any:
    if value == ORIGINAL:
        return ORIGINAL
    match value:
        case [str(host), int(port)]:
            return Endpoint(host, port)
        case _:
            pass
    raise FrameError(f"welcome: expected a destination, got {value!r:.60}")
