"""The listening sockets of all workers, held by their supervisor.

Every worker has its own socket for every listener, and the kernel spreads callers over
them (SO_REUSEPORT, socket(7)). A caller belongs to a socket before anybody accepts it.
So the supervisor keeps all sockets open: those who wait in the queue of a worker that
died are served by the next one. Closing the socket would reset them.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from sidecar.assembly import listeners_of
from sidecar.binding import place, say_where
from sidecar.net import listen
from sidecar.net.transparent import make_transparent
from sidecar.supervisor.welcome import Inherited

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from sidecar.config.model import Config, Listener
    from sidecar.telemetry.labels import Direction


@frozen
class Bound:
    """A listener and a socket that is bound to its address."""

    direction: Direction
    listener: Listener
    sock: socket.socket


class SlotSockets:
    """The sockets of one worker and of whoever comes after it."""

    def __init__(self, bound: Iterable[Bound]) -> None:
        self._bound = tuple(bound)
        self._closed = False

    def inherited(self) -> tuple[Inherited, ...]:
        """List what a worker gets."""
        return tuple(
            Inherited(each.direction, each.listener, each.sock.fileno())
            for each in self._bound
        )

    def close(self) -> None:
        """Close them: who waits there is reset, the next callers go to others."""
        self._closed = True
        for each in self._bound:
            each.sock.close()

    def reopen(self) -> None:
        """Have new ones where they were closed; nobody calls before a worker listens.

        Raises:
            OSError: The addresses are not ours any more. All stay closed.
        """
        if not self._closed:
            return
        with ExitStack() as made:
            fresh = []
            for each in self._bound:
                sock = made.enter_context(listen.bind_beside(each.listener.listen))
                if each.listener.transparent:
                    make_transparent(sock)
                fresh.append(evolve(each, sock=sock))
            self._bound = tuple(fresh)
            made.pop_all()
        self._closed = False


def bind_slots(config: Config, count: int, stack: ExitStack) -> list[SlotSockets]:
    """Bind every listener for *count* workers; the end of *stack* closes them.

    Raises:
        BindError: An address is in use, or not ours to bind.
    """
    slots: list[list[Bound]] = [[] for _ in range(count)]
    for direction, listener, name in listeners_of(config):
        with place(f"{name}.listen", listener.listen):
            sockets = listen.bind_shared(listener.listen, count)
        say_where(f"{name}.listen", listener.listen, sockets[0])
        for slot, sock in zip(slots, sockets, strict=True):
            stack.callback(sock.close)
            there = evolve(listener.listen, port=sock.getsockname()[1])
            slot.append(Bound(direction, evolve(listener, listen=there), sock))
        with place(f"{name}.listen", listener.listen):
            for sock in sockets:
                if listener.transparent:
                    make_transparent(sock)
                listen.hear(sock)
    made = [SlotSockets(slot) for slot in slots]
    for each in made:
        stack.callback(each.close)
    return made
