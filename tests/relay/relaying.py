"""An engine at work, and connections that it carries between two peers."""

from __future__ import annotations

import math
import os
import random
import socket
from contextlib import asynccontextmanager
from enum import Enum
from typing import TYPE_CHECKING

import trio
import trio.testing
from attrs import define, field
from OpenSSL import SSL

from sidecar.relay.engine import Engine
from sidecar.relay.plain_flow import PlainFlow
from sidecar.relay.tls_flow import TlsFlow
from sidecar.tls.openssl_binding import take_error
from tests.relay import tls_wires
from tests.relay.tls_wires import TlsWire
from tests.relay.wires import Wire, connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sidecar.relay.end import End
    from sidecar.relay.flow import Ending, Flow
    from sidecar.telemetry.labels import Outcome

PATIENCE = 40
"""Seconds after which a test has hung."""

_LATE = 20
"""Milliseconds that a reset may need to come through the loopback."""

AnyWire = Wire | TlsWire

Buffers = tuple[int | None, int | None]
"""What the kernel may hold for each socket downstream, and upstream."""

AUTOMATIC: Buffers = (None, None)


class Kind(Enum):
    """What a flow does, and on which side of it TLS is."""

    PLAIN = "plain"
    TLS_DOWNSTREAM = "tls downstream"
    TLS_UPSTREAM = "tls upstream"


class Side(Enum):
    """Which of a flow's two peers."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"


class ObservedEngine(Engine):
    """Notes which descriptor each call of a handler was for, in order."""

    def __init__(self, idle_seconds: float = 0) -> None:
        self.calls: list[int] = []
        self.news = trio.Event()
        super().__init__(idle_seconds)

    def _register(self, fd: int, handler: Callable[[int], None]) -> None:
        def noted(events: int) -> None:
            self.calls.append(fd)
            handler(events)
            self.news.set()
            self.news = trio.Event()

        super()._register(fd, noted)

    def stay_cold(self) -> None:
        """Take one batch a turn, as if connections were being set up all the time."""
        self._cold_until = math.inf

    def turn(self) -> int:
        """Take one turn by hand, where the engine does not run by itself.

        Gives the count of what was handled.
        """
        before = len(self.calls)
        self._turn()
        return len(self.calls) - before

    def ready(self) -> dict[int, int]:
        """What epoll would report now, by descriptor."""
        return dict(self._epoll.poll(0))


@define(eq=False)
class Carried:
    """A flow, and the peers at its two sides."""

    flow: Flow
    downstream: AnyWire
    upstream: AnyWire
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    over: trio.Event = field(factory=trio.Event)
    _ending: Ending | None = None

    @property
    def wires(self) -> tuple[AnyWire, AnyWire]:
        return self.downstream, self.upstream

    def seen_from(self, side: Side) -> tuple[AnyWire, AnyWire]:
        """The peer at *side*, and the one beyond."""
        near, far = self.wires
        return (near, far) if side is Side.DOWNSTREAM else (far, near)

    def ends_from(self, side: Side) -> tuple[End, End]:
        """The flow's own ends, likewise."""
        near, far = self.flow.downstream, self.flow.upstream
        return (near, far) if side is Side.DOWNSTREAM else (far, near)

    @property
    def plain(self) -> Wire:
        """The peer on the side without TLS."""
        return next(wire for wire in self.wires if isinstance(wire, Wire))

    @property
    def tls(self) -> TlsWire:
        """The peer on the side with TLS."""
        return next(wire for wire in self.wires if isinstance(wire, TlsWire))

    async def carry(self, engine: Engine) -> None:
        try:
            with self.scope:
                self._ending = await engine.carry(self.flow)
        finally:
            self.over.set()

    async def ending(self) -> Ending:
        """What `Engine.carry` gave in the end."""
        await self.over.wait()
        assert self._ending is not None, "it was cancelled"
        return self._ending

    async def outcome(self) -> Outcome:
        return (await self.ending()).outcome


@define(eq=False)
class Relay:
    """Opens connections through one engine."""

    engine: ObservedEngine
    nursery: trio.Nursery
    _sockets: list[socket.socket] = field(factory=list)

    def wire(self, buffer: int | None = None) -> tuple[socket.socket, Wire]:
        """A connection: the flow's socket, and the peer at its other end."""
        near, far = connected(buffer)
        self._sockets += near, far
        return near, Wire(far)

    def open(self, kind: Kind, buffers: Buffers = AUTOMATIC) -> Carried:
        """Carry a new connection; its handshake is done."""
        if kind is not Kind.PLAIN:
            ours, theirs = handshaken(kind)
            return self.open_tls(kind, ours, theirs, buffers)
        near_down, down = self.wire(buffers[0])
        near_up, up = self.wire(buffers[1])
        return self.carry(Carried(PlainFlow(near_down, near_up), down, up))

    def open_tls(
        self,
        kind: Kind,
        ours: SSL.Connection,
        theirs: SSL.Connection,
        buffers: Buffers = AUTOMATIC,
        *,
        first_read: Callable[[], None] | None = None,
    ) -> Carried:
        """Carry a new connection with the TLS of *ours*."""
        near_down, down = self.wire(buffers[0])
        near_up, up = self.wire(buffers[1])
        downstream = kind is Kind.TLS_DOWNSTREAM
        flow = TlsFlow(
            near_down, near_up, ours, tls_downstream=downstream, first_read=first_read
        )
        if downstream:
            return self.carry(Carried(flow, TlsWire(down, theirs), up))
        return self.carry(Carried(flow, down, TlsWire(up, theirs)))

    async def parked(
        self, kind: Kind = Kind.PLAIN, buffers: Buffers = AUTOMATIC
    ) -> Carried:
        """Carry a new connection, and go on when its task waits for the engine."""
        carried = self.open(kind, buffers)
        await trio.testing.wait_all_tasks_blocked()
        return carried

    def carry(self, carried: Carried) -> Carried:
        self.nursery.start_soon(carried.carry, self.engine)
        return carried

    async def turn(self) -> int:
        """Take a turn by hand once there is something to handle; give how much."""
        while not (handled := self.engine.turn()):
            await trio.lowlevel.checkpoint()
        return handled

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for what the engine is going to do."""
        while not true():
            await self.engine.news.wait()

    async def quiet(self) -> None:
        """Wait until the engine has found nothing to do for a while."""
        seen = -1
        while seen != len(self.engine.calls):
            seen = len(self.engine.calls)
            await trio.sleep(0.02)

    async def calls_in_a_while(self) -> int:
        """Count what the engine handles in 50 ms, from when it should be quiet."""
        await self.quiet()
        before = len(self.engine.calls)
        await trio.sleep(0.05)
        return len(self.engine.calls) - before

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self.engine.close()


def handshaken(
    kind: Kind,
    version: int = SSL.TLS1_3_VERSION,
    *,
    theirs: int = tls_wires.OURS,
) -> tuple[SSL.Connection, SSL.Connection]:
    """The flow's TLS connection and its peer's, after the handshake.

    *theirs* are the options of the peer.
    """
    at_server = kind is Kind.TLS_DOWNSTREAM
    options = (tls_wires.OURS, theirs) if at_server else (theirs, tls_wires.OURS)
    server, client = tls_wires.connections(
        tls_wires.context(SSL.TLS_SERVER_METHOD, version, options=options[0]),
        tls_wires.context(SSL.TLS_CLIENT_METHOD, version, options=options[1]),
    )
    tls_wires.shake_hands(server, client)
    return (server, client) if at_server else (client, server)


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the names are numbers


async def _watchdog() -> None:
    await trio.sleep(PATIENCE)
    raise AssertionError(f"the test has hung for {PATIENCE} s")


@asynccontextmanager
async def relaying(*, running: bool = True) -> AsyncIterator[Relay]:
    """Give an engine; see that in the end nothing is left of what it carried."""
    before = open_descriptors()
    async with trio.open_nursery() as nursery:
        relay = Relay(ObservedEngine(), nursery)
        nursery.start_soon(_watchdog)
        if running:
            nursery.start_soon(relay.engine.run)
        yield relay
        nursery.cancel_scope.cancel()
    assert relay.engine.flows == set()
    assert relay.engine._handlers == {}
    assert take_error()[0] == 0, "an error is left for another connection to find"
    relay.close()
    assert open_descriptors() == before


async def receive_all(wire: AnyWire) -> bytes:
    """Receive to the end, which has to be an orderly one."""
    pieces = []
    while piece := await wire.receive():
        pieces.append(piece)
    return b"".join(pieces)


async def receive_exactly(wire: AnyWire, size: int) -> bytes:
    """Receive *size* bytes, which may come in any number of pieces."""
    data = b""
    while len(data) < size and (piece := await wire.receive()):
        data += piece
    return data


async def send_and_end(wire: AnyWire, data: bytes) -> None:
    await wire.send(data)
    await wire.end()


async def is_reset(wire: AnyWire) -> bool:
    """Take in all that TCP brings; True if it ends with a reset."""
    tcp = wire if isinstance(wire, Wire) else wire.wire
    try:
        await receive_all(tcp)
    except ConnectionResetError:
        return True
    # After an end, a reset changes nothing for who receives.
    for _ in range(_LATE):
        if tcp.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return True
        await trio.sleep(0.001)
    return False


def some_bytes(size: int) -> bytes:
    """Bytes of which no two stretches are alike, so that none goes lost unseen."""
    return random.Random(size).randbytes(size)
