"""The relay engine: one task that moves the bytes of every connection.

trio accepts, shakes hands, decides and times out, with a task for each connection.
An established pair is handed over to here, where its task parks. The sockets of all
pairs are in one epoll of our own, and an epoll descriptor is itself pollable: trio
wakes this task when any of them has something, and a plain loop handles them all.
A trio wake costs about 30 us, an event in the loop a fifth of that.
"""

from __future__ import annotations

import logging
import select
import time
from math import inf
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import trio

from sidecar.relay.flow import Ending, Flow
from sidecar.telemetry.labels import Outcome
from sidecar.tls.openssl_binding import ERR_clear_error

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sidecar.relay.leaving import Leaving

_LOG = logging.getLogger(__name__)

_BATCH: Final = 256
# Between requests, waiting in epoll is cheaper than going back to trio; anything
# else in the process waits meanwhile, so not for long, and not while there is any.
_HOT_SECONDS: Final = 0.001
# While there is work without a pause, the others have their turn after this time.
_TURN_SECONDS: Final = 0.004
_COLD_SECONDS: Final = 0.02
_IDLE_CHECKS: Final = 4
# The kernel does not tell when the other side has all: it is asked.
_LOOK_SECONDS: Final = 0.01

Positions: TypeAlias = dict[Flow, tuple[tuple[int, int], int]]
"""Where flows were, and at how many looks before they were there already."""


class Engine:
    """Relays flows. Not for use by several threads."""

    def __init__(self, idle_seconds: float = 0) -> None:
        """Cut flows that move nothing for *idle_seconds*; 0 is never."""
        self.flows: set[Flow] = set()
        self._cold_until = 0.0
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._idle_seconds = idle_seconds
        self._idle_changed = trio.lowlevel.ParkingLot()
        self._leaving: list[Leaving] = []
        self._somebody_leaves = trio.lowlevel.ParkingLot()
        self.register = self._register
        self.modify = self._epoll.modify

    def _register(self, fd: int, handler: Callable[[int], None]) -> None:
        self._handlers[fd] = handler
        self._epoll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """Report nothing of *fd*, until `watch_again`."""
        self._epoll.unregister(fd)

    def watch_again(self, fd: int, mask: int) -> None:
        """Report *mask* of *fd* again, after `unwatch`."""
        self._epoll.register(fd, mask)

    def forget(self, fd: int) -> None:
        """Handle *fd* no longer: it is being closed, which epoll notices by itself."""
        self._handlers.pop(fd, None)

    def yield_to(self, sock: socket.socket) -> None:
        """Make way as soon as *sock*, a listener of the process, has news."""
        self._handlers[sock.fileno()] = lambda _events: self.make_way()
        self._epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLET)

    def make_way(self) -> None:
        """Leave the rest of the process its turns for a while.

        A connection is being set up. For a while, not until it is: one that stalls
        must not slow down those that are established.
        """
        self._cold_until = time.monotonic() + _COLD_SECONDS

    async def carry(self, flow: Flow) -> Ending:
        """Relay *flow* until it ends, and say how. Its sockets are closed then.

        Cancellation:
            Both sockets are reset at once and bytes in flight are lost.
        """
        self.flows.add(flow)
        try:
            flow.start(self)
        except Exception:  # noqa: BLE001 - its sockets are ours to close
            self._give_up([flow])
        if flow.ending is None:
            flow.waiter = trio.lowlevel.current_task()

            def abort(_raise: object) -> trio.lowlevel.Abort:
                flow.waiter = None
                cut = Ending(Outcome.DRAINED)
                flow.finish(cut, flow.downstream, flow.upstream)
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(abort)
        return cast("Ending", flow.ending)

    def ended(self, flow: Flow) -> None:
        """Take note that *flow* is over."""
        self.flows.discard(flow)

    def _flows_of(self, fd: int) -> list[Flow]:
        """Find the flow that *fd* is an end of: by search, for it is seldom asked."""
        return [
            flow for flow in self.flows if fd in {flow.downstream.fd, flow.upstream.fd}
        ]

    def _give_up(self, flows: list[Flow]) -> None:
        """Finish *flows* after an exception that no handler should raise."""
        _LOG.exception("relaying met a bug")
        for flow in flows:
            bug = Ending(Outcome.INTERNAL_ERROR)
            flow.finish(bug, flow.downstream, flow.upstream)

    async def run(self) -> None:
        """Relay until cancelled. One task of the process runs this."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_idle)
            nursery.start_soon(self._watch_leaving)
            while True:
                await trio.lowlevel.wait_readable(self._epoll)
                self._turn()

    def _turn(self) -> None:
        """Handle what is ready, and what becomes ready while it is hot.

        An event moves at most one buffer, so no connection holds up the others for
        longer than that.
        """
        poll, handler_of, clock = self._epoll.poll, self._handlers.get, time.monotonic
        ERR_clear_error()  # SSL_get_error trusts that the queue is empty
        end = clock() + _TURN_SECONDS
        events = poll(0, _BATCH)
        while events:
            for fd, ready in events:
                handler = handler_of(fd)
                if handler is not None:
                    try:
                        handler(ready)
                    except Exception:  # noqa: BLE001 - a bug costs one connection
                        self._give_up(self._flows_of(fd))
            now = clock()
            if now > end or now < self._cold_until:
                return
            events = poll(_HOT_SECONDS, _BATCH)

    def cut_idle(self, idle_seconds: float) -> None:
        """Cut flows that move nothing for so long, counted from now; 0 is never."""
        if idle_seconds != self._idle_seconds:
            self._idle_seconds = idle_seconds
            self._idle_changed.unpark_all()

    async def _watch_idle(self) -> None:
        """Cut the flows that have not moved a byte for the whole idle time."""
        seen: Positions = {}
        while True:
            with trio.move_on_after(self._idle_seconds / _IDLE_CHECKS or inf) as pause:
                await self._idle_changed.park()
            seen = self._look_for_idle(seen) if pause.cancelled_caught else {}

    def _look_for_idle(self, seen: Positions) -> Positions:
        now: Positions = {}
        for flow in list(self.flows):
            position = flow.position()
            before, since = seen.get(flow, (position, -1))
            quiet = since + 1 if before == position else 0
            if quiet >= _IDLE_CHECKS:
                idle = Ending(Outcome.IDLE_TIMEOUT)
                flow.finish(idle, flow.downstream, flow.upstream)
            else:
                now[flow] = (position, quiet)
        return now

    def see_off(self, leaving: Leaving) -> bool:
        """Let *leaving* come to its end; True if that is now."""
        if leaving.begin(time.monotonic()):
            return True
        self._leaving.append(leaving)
        self._somebody_leaves.unpark_all()
        return False

    async def _watch_leaving(self) -> None:
        while True:
            if not self._leaving:
                await self._somebody_leaves.park()
            await trio.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            self._leaving = [
                each for each in self._leaving if not self._gone(each, now)
            ]

    def _gone(self, leaving: Leaving, now: float) -> bool:
        try:
            return leaving.look(now)
        except Exception:  # noqa: BLE001 - a bug costs one connection
            self._give_up([leaving.flow])
            return True

    def close(self) -> None:
        """Give back the epoll descriptor."""
        self._epoll.close()
