"""Accepting HTTP connections, never more than fit.

A slot is taken before a connection is accepted; the rest wait in the backlog. Whoever
opens connections and sends nothing loses the oldest of them first, so that a probe
which asks its question at once is heard on a listener under siege.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from sidecar.admin.http import Bodies, HttpConnection, HttpLimits

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from sidecar.admin.messages import Handler

# Out of descriptors or memory: not the connection's fault, and it may pass.
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_BACKOFF_FIRST: Final = 0.005
_BACKOFF_LAST: Final = 1.0


def stream_listener(sock: socket.socket) -> trio.SocketListener:
    """A socket that is bound and listens, as `serve` wants it."""
    sock.setblocking(False)
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))


@define
class Leaving:
    """How a server is told to end well.

    Attributes:
        last_answers: Have every client leave after the next answer.
        accept_no_more: Once set, those who ask nothing are left, and no more come.
    """

    last_answers: bool = False
    accept_no_more: trio.Event = field(factory=trio.Event)


async def serve(
    listeners: Sequence[trio.abc.Listener[trio.abc.HalfCloseableStream]],
    handler: Handler,
    limits: HttpLimits = HttpLimits(),  # noqa: B008 - frozen
    *,
    leaving: Leaving | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests on *listeners* until cancelled, or *leaving* says to end.

    The limits hold for each.

    Raises:
        OSError: A listener is broken.

    Cancellation:
        Connections are closed at once. The listeners stay open: they are the caller's.
    """
    async with trio.open_nursery() as nursery:
        for listener in listeners:
            server = _Server(handler, limits, leaving or Leaving())
            nursery.start_soon(server.run, listener)
        task_status.started()


class _Server:
    """The connections of one listener."""

    def __init__(self, handler: Handler, limits: HttpLimits, leaving: Leaving) -> None:
        self._leaving = leaving
        self._bodies = Bodies()
        self._handler = handler
        self._limits = limits
        self._slots = trio.Semaphore(limits.connections)
        self._live: dict[HttpConnection, trio.CancelScope] = {}

    async def run(
        self, listener: trio.abc.Listener[trio.abc.HalfCloseableStream]
    ) -> None:
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(self._accept_all, listener, nursery)
                await self._leaving.accept_no_more.wait()
                accepting.cancel_scope.cancel()
            for connection, scope in self._live.items():
                if connection.idle:
                    scope.cancel()

    async def _accept_all(
        self,
        listener: trio.abc.Listener[trio.abc.HalfCloseableStream],
        nursery: trio.Nursery,
    ) -> None:
        while True:
            await self._slots.acquire()
            stream = await _accept(listener)
            connection = HttpConnection(
                stream,
                self._handler,
                self._limits,
                self._is_last_answer,
                self._bodies,
            )
            scope = trio.CancelScope()
            if len(self._live) + 1 >= self._limits.connections:
                self._make_room()
            self._live[connection] = scope
            nursery.start_soon(self._carry, connection, scope)

    async def _carry(self, connection: HttpConnection, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await connection.run()
        finally:
            del self._live[connection]
            self._slots.release()

    def _is_last_answer(self) -> bool:
        full = len(self._live) >= self._limits.connections
        return full or self._leaving.last_answers

    def _make_room(self) -> None:
        """Close the connection that has waited longest for a complete request."""
        waiting = [
            (connection.waiting_since, scope)
            for connection, scope in self._live.items()
            if connection.waiting_since is not None and not scope.cancel_called
        ]
        if waiting:
            min(waiting, key=lambda each: each[0])[1].cancel()


async def _accept(
    listener: trio.abc.Listener[trio.abc.HalfCloseableStream],
) -> trio.abc.HalfCloseableStream:
    """Accept one connection, waiting out what the whole machine is short of."""
    pause = _BACKOFF_FIRST
    while True:
        try:
            return await listener.accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
        await trio.sleep(pause)
        pause = min(2 * pause, _BACKOFF_LAST)
