"""From the first connection to the last: serving, signals, draining.

SIGTERM drains: the process goes on accepting for a while, because those who route to
it learn of its end late; then it accepts no more, lets what is open finish, and cuts
what is left at the deadline. A second signal ends it at once.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from sidecar.proxy.serve import serve
from sidecar.signals import watch_signals

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Iterable

    from sidecar.admin.readiness import Readiness
    from sidecar.config.model import Listener
    from sidecar.proxy.mesh import Mesh
    from sidecar.telemetry.labels import Direction

_LOG = logging.getLogger(__name__)

Listening = tuple["Direction", "Listener", "socket.socket"]


class Lifecycle:
    """Serves until it is told to stop; then drains.

    Attributes:
        accepts: Set once connections are accepted.
        accepts_no_more: Set once the listening sockets are closed.
    """

    def __init__(self, mesh: Mesh, readiness: Readiness) -> None:
        self.accepts = trio.Event()
        self.accepts_no_more = trio.Event()
        self._mesh = mesh
        self._readiness = readiness
        self._draining = trio.Event()
        self._stopping = False
        self._without_delay = trio.Event()
        self._at_once = trio.Event()

    def drain(self) -> None:
        """Begin to drain. Asked twice, it changes nothing."""
        if not self._draining.is_set():
            _LOG.info("draining", extra={"open": len(self._mesh.connections)})
            self._readiness.drain()
            self._draining.set()

    def stop(self) -> None:
        """Do what SIGTERM does: drain, and the second time end at once.

        A drain that was asked for before, as by a preStop hook, is not cut short.
        """
        if self._stopping:
            self._without_delay.set()
            self._at_once.set()
        self._stopping = True
        self.drain()

    def abandon(self) -> None:
        """Drain, and accept no more from this moment: nobody routes to us now."""
        self._without_delay.set()
        self.drain()

    async def watch_signals(
        self,
        reload: Callable[[], Awaitable[object]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Turn signals into calls, until cancelled."""
        await watch_signals(self.stop, reload, task_status=task_status)

    async def serve(self, listening: Iterable[Listening]) -> None:
        """Carry connections until all is drained, once there is an identity.

        Cancellation:
            Open connections are reset.
        """
        listening = tuple(listening)
        async with trio.open_nursery() as connections:
            await _first_of(self._mesh.identified.wait, self._draining.wait)
            if self._mesh.identified.is_set():
                await self._accept(listening, connections)
            for _, _, sock in listening:
                sock.close()
            self.accepts_no_more.set()
            await self._finish()
            connections.cancel_scope.cancel()

    async def _accept(
        self, listening: Iterable[Listening], connections: trio.Nursery
    ) -> None:
        """Accept until told to drain, and for the delay after that."""
        mesh = self._mesh
        async with trio.open_nursery() as accepting:
            for direction, listener, sock in listening:
                accepting.start_soon(
                    serve, sock, listener, direction, mesh, mesh.slots, connections
                )
            self._readiness.done("listeners")
            self.accepts.set()
            _LOG.info("ready")
            await self._draining.wait()
            with trio.move_on_after(mesh.config.drain.delay_seconds):
                await self._without_delay.wait()
            accepting.cancel_scope.cancel()

    async def _finish(self) -> None:
        """Wait for the open connections, the deadline, or a second signal."""
        with trio.move_on_after(self._mesh.config.drain.deadline_seconds):
            await _first_of(self._at_once.wait, self._mesh.connections.wait_empty)
        left = len(self._mesh.connections)
        _LOG.info("drained", extra={"cut": left})


async def _first_of(*waits: Callable[[], Awaitable[object]]) -> None:
    async with trio.open_nursery() as nursery:

        async def first(wait: Callable[[], Awaitable[object]]) -> None:
            await wait()
            nursery.cancel_scope.cancel()

        for wait in waits:
            nursery.start_soon(first, wait)
