"""A worker as its supervisor sees it: a process, and what it says."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import signal
import socket
from typing import TYPE_CHECKING, Any, Self

import trio

from sidecar.supervisor.channel import Channel
from sidecar.supervisor.frames import FrameError
from sidecar.supervisor.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sidecar.supervisor.welcome import Welcome

_LOG = logging.getLogger(__name__)

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)
# What a process that has ended said before, the kernel has already.
_LAST_WORDS_SECONDS = 1.0


class GoneError(Exception):
    """The worker has ended before it answered."""


class WorkerProcess:
    """A worker that was started; `run` has to run until it ends."""

    def __init__(
        self,
        process: trio.Process,
        channel: Channel,
        heard: Callable[[Report], None],
    ) -> None:
        self._process = process
        self._channel = channel
        self._heard = heard
        self._numbers = itertools.count(1)
        self._asked: dict[int, trio.MemorySendChannel[Any]] = {}
        self._silent = trio.Event()

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        inherited: Iterable[int],
        heard: Callable[[Report], None],
    ) -> Self:
        """Start *command*, with the descriptors that are *inherited*.

        Raises:
            OSError: It cannot be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await trio.lowlevel.open_process(
                    [*command, "--worker", str(theirs.fileno())],
                    pass_fds=(theirs.fileno(), *inherited),
                )
            except BaseException:
                ours.close()
                raise
        return cls(process, Channel(ours), heard)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def run(self, welcome: Welcome) -> str:
        """Be with it until it ends, and say how it ended.

        Cancellation:
            The process is killed.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear)
                with contextlib.suppress(*_GONE):
                    await self._channel.send(welcome.to_value())
                status = await self._process.wait()
                with trio.move_on_after(_LAST_WORDS_SECONDS):
                    await self._silent.wait()
                nursery.cancel_scope.cancel()
            return ending(status)
        finally:
            self.kill()
            with trio.CancelScope(shield=True):
                await self._process.wait()  # killed, it does not take long
            self._channel.close()
            self._answer_nobody()

    async def tell(self, order: str, **more: Any) -> None:
        """Give an order; one that is gone follows none."""
        with contextlib.suppress(*_GONE):
            await self._channel.send({"id": 0, "do": order, **more})

    async def ask(self, question: str) -> list[Any]:
        """Ask, and give the parts of the answer.

        Raises:
            GoneError: It has ended.

        Cancellation:
            The answer is passed over when it comes.
        """
        if self._silent.is_set():
            raise GoneError
        number = next(self._numbers)
        send, receive = trio.open_memory_channel[Any](math.inf)
        self._asked[number] = send
        parts = []
        try:
            await self._channel.send({"id": number, "do": question})
            while True:
                message = await receive.receive()
                parts.append(message.get("part"))
                if message.get("last") or "report" in message:
                    return parts
        except (*_GONE, trio.EndOfChannel):
            raise GoneError from None
        finally:
            self._asked.pop(number, None)
            send.close()
            receive.close()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    async def _hear(self) -> None:
        try:
            while (message := await self._channel.receive()) is not None:
                self._take(message)
        except FrameError as error:
            _LOG.error(
                "a worker does not make sense, it is ended",
                extra={"pid": self.pid, "error": str(error)},
            )
            self.kill()
        except trio.ClosedResourceError:
            self.kill()  # it takes nothing: the channel was given up
        finally:
            self._silent.set()
            self._answer_nobody()

    def _take(self, message: dict[str, Any]) -> None:
        if "report" in message:
            self._heard(Report.from_value(message["report"]))
        number = message.get("id")
        waiting = self._asked.get(number) if isinstance(number, int) else None
        if waiting is not None:
            waiting.send_nowait(message)

    def _answer_nobody(self) -> None:
        for waiting in self._asked.values():
            waiting.close()


def ending(status: int) -> str:
    """Say in words what a process' return code means."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
