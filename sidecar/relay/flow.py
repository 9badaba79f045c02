"""One established connection: two sockets, and bytes both ways between them.

A flow owns its sockets from the moment it starts. It is driven by the `Engine`, one
event at a time, never waits, and holds at most one buffer for each direction: while
a side is behind, the other side is not read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

from sidecar.net.sockopt import reset
from sidecar.relay.end import Broken, End
from sidecar.relay.leaving import Leaving
from sidecar.telemetry.labels import Outcome, Reason

if TYPE_CHECKING:
    import socket

    from sidecar.relay.engine import Engine

_DEAF: Final = -1
"""The mask of an end that epoll does not watch."""

SMALL_READ: Final = 16384
LARGE_READ: Final = 131072
_GROWN: Final = 131072
"""A connection that has moved this much reads in large steps; until then it is
taken for one that is mostly idle, and OpenSSL's buffers for it stay small."""


@frozen
class Ending:
    """How a flow ended, and in words where that helps."""

    outcome: Outcome
    detail: str = ""
    reason: Reason = Reason.OK
    """Other than ok where TLS itself broke after the handshake."""


class Flow(ABC):
    """What all flows share: their ends, what epoll is asked, and the waiting task."""

    __slots__ = (
        "downstream",
        "ending",
        "engine",
        "leaving",
        "step",
        "upstream",
        "waiter",
    )

    engine: Engine

    def __init__(self, downstream: socket.socket, upstream: socket.socket) -> None:
        self.downstream = End(downstream)
        self.upstream = End(upstream)
        self.step = SMALL_READ
        """How much is read at once."""
        self.ending: Ending | None = None
        self.leaving: Leaving | None = None
        """Nothing more is read: one end still gets what is its own."""
        self.waiter: trio.lowlevel.Task | None = None

    def start(self, engine: Engine) -> None:
        """Begin: watch both ends, and move what had come before."""
        self.engine = engine
        engine.register(self.downstream.fd, self._on_downstream)
        engine.register(self.upstream.fd, self._on_upstream)
        self._on(0, self.downstream, self.upstream)

    def _on_downstream(self, events: int) -> None:
        self._on(events, self.downstream, self.upstream)

    def _on_upstream(self, events: int) -> None:
        self._on(events, self.upstream, self.downstream)

    def _on(self, events: int, end: End, other: End) -> None:
        """Handle *events* of *end*; none stands for the beginning."""
        try:
            if events == EPOLLIN == end.mask:
                self.move(end)  # as almost always: nothing is behind, or over
                return
            if self.leaving is not None:
                return  # it was reported together with what began that
            if events & EPOLLOUT and end.pending is not None:
                if end.flush():
                    self.caught_up(end)
                self.settle()
            if not events:
                self.begin()
            elif events & ~EPOLLOUT and self.ending is None:
                if other.pending is None and not end.ended:
                    self.move(end)
                else:
                    self._unasked(end, events)
        except Broken as broken:
            self.reset_by(broken.end, str(broken))

    @abstractmethod
    def begin(self) -> None:
        """Move what had come before the flow did."""

    @abstractmethod
    def move(self, end: End) -> None:
        """Read once from *end* and send it on."""

    @abstractmethod
    def caught_up(self, end: End) -> None:
        """Go on with what had to wait while *end* was behind."""

    @property
    def received(self) -> int:
        """Bytes from downstream, as the application counts them."""
        return self.downstream.moved

    @property
    def sent(self) -> int:
        """Bytes to downstream, likewise."""
        return self.upstream.moved

    def grow(self) -> None:
        """Read more at once, if the flow has moved enough; a read was filled."""
        if self.received + self.sent > _GROWN:
            self.step = LARGE_READ

    def position(self) -> tuple[int, int]:
        """Say how many bytes were read, and how many of those wait to be sent."""
        ends = self.downstream, self.upstream
        waiting = sum(len(end.pending) for end in ends if end.pending is not None)
        return self.received + self.sent, waiting

    def settle(self) -> None:
        """Pass on ends whose bytes are all out; finish, or ask epoll for the rest.

        Not for every event: only where an end changed its state.
        """
        if self.ending is not None or self.leaving is not None:
            return
        down, up = self.downstream, self.upstream
        over = True
        for end, other in ((down, up), (up, down)):
            over = self._pass_on_end(end, other) and over
        if over:
            self.finish(Ending(Outcome.COMPLETED))
            return
        for end, other in ((down, up), (up, down)):
            self._attend(end, other)

    @abstractmethod
    def _pass_on_end(self, end: End, other: End) -> bool:
        """Tell *other* if *end* has ended; True when that direction is over."""

    def _attend(self, end: End, other: End) -> None:
        mask = EPOLLOUT if end.pending is not None else 0
        if other.pending is None and not end.ended:
            mask |= EPOLLIN
        if end.mask == _DEAF:
            if mask:
                self.engine.watch_again(end.fd, mask)
                end.mask = mask
        elif mask != end.mask:
            self.engine.modify(end.fd, mask)
            end.mask = mask

    def _unasked(self, end: End, events: int) -> None:
        """Handle what epoll reports of an end that is not being read.

        An error is a reset. A hang-up alone is not: both directions have seen a FIN,
        and there may be bytes left to read. It would be reported for ever.
        """
        if events & EPOLLERR:
            self.reset_by(end)
        elif events & EPOLLHUP:
            self._deafen(end)

    def _deafen(self, end: End) -> None:
        if end.mask != _DEAF:
            self.engine.unwatch(end.fd)
            end.mask = _DEAF

    def reset_by(self, end: End, detail: str = "") -> None:
        """End because *end* was reset: the other one is reset too."""
        ending = Ending(self.outcome_of_reset(end), detail)
        self.finish(ending, self.downstream, self.upstream)

    def outcome_of_reset(self, end: End) -> Outcome:
        """Name what it is called if *end* is reset."""
        if end is self.downstream:
            return Outcome.RESET_BY_DOWNSTREAM
        return Outcome.RESET_BY_UPSTREAM

    def leave(self, ending: Ending, end: End, *resets: End) -> None:
        """Finish, *resets* with a reset, as soon as *end* has what was sent to it."""
        if self.ending is not None or self.leaving is not None:
            return
        leaving = Leaving(self, ending, end, resets)
        if self.engine.see_off(leaving):
            return
        self.leaving = leaving
        self._deafen(self.downstream)
        self._deafen(self.upstream)

    def finish(self, ending: Ending, *reset_ends: End) -> None:
        """Close both ends, those named with a reset, and wake who waits."""
        if self.ending is not None:
            return
        self.ending = ending
        for end in (self.downstream, self.upstream):
            self.engine.forget(end.fd)
            end.pending = None
            if end in reset_ends:
                reset(end.sock)
            else:
                end.sock.close()
        self.engine.ended(self)
        if self.waiter is not None:
            trio.lowlevel.reschedule(self.waiter)
            self.waiter = None
