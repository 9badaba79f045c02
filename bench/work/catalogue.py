"""All the work, in the order of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.application import BULK, MEDIUM, SMALL
from bench.load.wrk import Load
from bench.proxies.proxy import Setting
from bench.stage import most_connections
from bench.work.closed_loop import Bulk, Connections, Requests
from bench.work.idle import Idle
from bench.work.steady import Steady

if TYPE_CHECKING:
    from bench.work.work import Work

AT_ONCE: Final = 32
"""How many new connections are being set up at any time."""

# Small enough that what is under way when time is up does not matter.
_UPLOAD_BYTES: Final = 4 << 20

# What a proxy is prepared for; some allocate for it when they start.
_IDLE: Final = 6000

RESUMED: Final = Setting(resumption=True)
FULL: Final = Setting(resumption=False)

_RECONNECT: Final = Load(SMALL, AT_ONCE, reconnect=True)


def all_work() -> dict[str, Work]:
    """Return each work by its name."""
    works: tuple[Work, ...] = (
        Bulk("download", "bulk download", load=Load(BULK, 2)),
        Bulk(
            "upload",
            "bulk upload",
            load=Load("/", 2, upload_bytes=_UPLOAD_BYTES),
            uploads=True,
        ),
        Requests("requests-1", "1 connection kept alive", load=Load(SMALL, 1)),
        Requests("requests-64", "64 connections kept alive", load=Load(SMALL, 64)),
        Requests("answers-16k", "16 KiB answers, 64 kept alive", load=Load(MEDIUM, 64)),
        Connections(
            "connections-full",
            "new connections, full handshakes",
            load=_RECONNECT,
            setting=FULL,
        ),
        Connections(
            "connections-resumed",
            "new connections, sessions resumed",
            load=_RECONNECT,
            setting=RESUMED,
        ),
        Steady("steady", "a fixed rate, 64 kept alive"),
        Idle(
            "idle",
            "idle connections",
            setting=Setting(connections=min(_IDLE, most_connections())),
        ),
    )
    return {work.name: work for work in works}
