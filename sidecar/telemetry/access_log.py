"""The access log: one JSON line for each connection, written when it ends."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import trio
from attrs import define, fields

from sidecar.config.model import AccessLevel
from sidecar.telemetry.json_line import encode, rfc3339
from sidecar.telemetry.line_writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sidecar.telemetry.labels import Direction, Outcome, Reason, Verdict

# Nobody reads a log within this time, and a busy proxy saves a wake for every line.
_LINGER_SECONDS = 0.05


@define(kw_only=True)
class AccessRecord:
    """What is known about one connection; filled in as it is learnt.

    Attributes:
        time: When the connection ended, in UTC.
        outcome: How it ended.
        reason: How its handshake ended.
        peer: The name that the other side of the TLS connection proved.
        identity: Which name of our own its handshake was done with.
        source: Who opened it.
        destination: Where it was going.
        upstream: Where it was carried to.
        rule: The policy's rule or the route that decided.
        decision: What the policy decided.
        received: Payload bytes from the side that opened the connection.
        sent: Payload bytes to the side that opened it.
        seconds: From accept to close.
        generation: Which credentials it was made with.
        policy_generation: Which policy let it in, or did not.
        config_generation: Which configuration it was carried by.
        detail: A sentence: the near miss of a denial, the text of an error.
    """

    time: datetime | None = None
    direction: Direction
    outcome: Outcome | None = None
    reason: Reason | None = None
    peer: str | None = None
    identity: str | None = None
    source: str | None = None
    destination: str | None = None
    upstream: str | None = None
    rule: str | None = None
    decision: Verdict | None = None
    received: int | None = None
    sent: int | None = None
    seconds: float | None = None
    tls_version: str | None = None
    group: str | None = None
    cipher: str | None = None
    resumed: bool | None = None
    generation: int | None = None
    policy_generation: int | None = None
    config_generation: int | None = None
    detail: str | None = None

    def to_json(self) -> bytes:
        """One line of ASCII, at most `PIPE_BUF` long; what is not known is left out."""
        known = {
            name: value
            for name, value in zip(_NAMES, _values(self), strict=True)
            if value is not None
        }
        if self.time is not None:
            known["time"] = rfc3339(self.time)
        if self.seconds is not None:
            known["seconds"] = round(self.seconds, 6)
        return encode(known)


_NAMES = tuple(field.name for field in fields(AccessRecord))
_values = attrgetter(*_NAMES)


class AccessLog:
    """Writes access records to a file descriptor that others may share.

    Attributes:
        access: Which connections are written; may be changed at any time.
    """

    def __init__(
        self, fd: int, access: AccessLevel, dropped: Callable[[int], None]
    ) -> None:
        self.access = access
        self._writer = LineWriter(fd, dropped, linger=_LINGER_SECONDS)

    def wants(self, *, failed: bool) -> bool:
        """Tell whether the level asks for a record, before it is made."""
        return self.access is AccessLevel.ALL or (
            failed and self.access is AccessLevel.FAILURES
        )

    def write(self, record: AccessRecord) -> None:
        """Queue *record*. Never blocks, never raises."""
        self._writer.put(record.to_json())

    async def flush(self, seconds: float) -> None:
        """Leave a reader that is a little late at most *seconds* to take all of it."""
        with trio.move_on_after(seconds):
            await self._writer.sent()

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Write what is queued until cancelled.

        Cancellation:
            What the reader takes at once is still written; the rest is counted as lost.
        """
        await self._writer.run(task_status=task_status)
