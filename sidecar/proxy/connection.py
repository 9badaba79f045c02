"""What is known of one connection, from accept to its access record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define, field, frozen

from sidecar.telemetry.labels import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.model import Endpoint
    from sidecar.identity.peer import Peer
    from sidecar.relay.flow import Ending, Flow
    from sidecar.telemetry.labels import Direction, Verdict
    from sidecar.tls.handshake import TlsSession


@frozen(eq=False)
class Generations:
    """What was in force at one moment; whatever changes makes another value."""

    config: int = 1
    policy: int = 1
    identity: int = 1


@define(eq=False)
class Connection:
    """The facts learnt so far; what is None is not known yet, or never will be."""

    direction: Direction
    source: Endpoint
    began: float
    """trio's clock, in seconds."""
    generations: Generations = Generations()
    """What was in force when it was accepted, or when it was judged again since."""
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    destination: Endpoint | None = None
    upstream: Endpoint | None = None
    """The address that was dialled."""
    peer: Peer | None = None
    """Who is at the other end of the mesh; None where nobody has proved it."""
    session: TlsSession | None = None
    identity: Peer | None = None
    """Who we are to that peer, of all that we may be; None without a handshake."""
    rule: str | None = None
    decision: Verdict | None = None
    reason: Reason = Reason.OK
    generation: int = 0
    """Of the credentials that its handshake was done with."""
    flow: Flow | None = None
    published: tuple[int, int] = (0, 0)
    """How much of the flow's bytes the metrics have already."""
    cut: Ending | None = None
    """Why we ended it ourselves."""

    def end(self, ending: Ending) -> None:
        """Cut the connection; it is reported as *ending*."""
        if self.cut is None:
            self.cut = ending
            self.scope.cancel()


class ConnectionTable:
    """The connections that are open now."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._most = 0
        self._waiting_for_none = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._open))

    def add(self, connection: Connection) -> None:
        """Register *connection*, before it is judged: a change in between counts."""
        self._open.add(connection)
        self._most = max(self._most, len(self._open))

    def remove(self, connection: Connection) -> None:
        """Forget *connection*."""
        self._open.discard(connection)
        if not self._open:
            self._waiting_for_none.unpark_all()

    def take_most(self) -> int:
        """Say how many were open at most at once since this was asked before."""
        most, self._most = self._most, len(self._open)
        return most

    async def wait_empty(self) -> None:
        """Wait until no connection is open."""
        while self._open:
            await self._waiting_for_none.park()
