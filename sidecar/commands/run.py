"""`sidecar run`: the sidecar itself."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from sidecar.binding import BindError
from sidecar.config.check import check
from sidecar.config.problems import ConfigError
from sidecar.supervisor.cpus import worker_count
from sidecar.telemetry import log

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sidecar.config.check import Checked
    from sidecar.telemetry.log import LogHandler

_LOG = logging.getLogger(__name__)
_STDERR: Final = 2


def main(arguments: argparse.Namespace) -> int:
    """Run the configuration that *arguments* name; give the exit status."""
    _hold_standard_descriptors()
    # Until there is something to reload; to end on it would be its default.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if arguments.worker is not None:
        # Its supervisor gets them too, and says what is to be done.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    now = datetime.now(UTC)
    try:
        checked = check(arguments.config, now)
        handler = log.configure(checked.config.log.level)
        serve = _role(arguments.config, checked, now, handler, arguments.worker)
        # What is loaded now stays: the collector need not look at it ever again.
        gc.freeze()
        trio.run(serve)  # noqa: TID251 - a command
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except BindError as error:
        print(f"{arguments.config}: {error}", file=sys.stderr)
        return 1
    return 0


def _role(
    path: Path, checked: Checked, now: datetime, log: LogHandler, control: int | None
) -> Callable[[], Awaitable[None]]:
    """Choose what this process is: alone, one of several, or over several.

    Each imports what it needs, and no more.
    """
    if control is not None:
        from sidecar.supervisor import worker  # noqa: PLC0415

        sock = socket.socket(fileno=control)
        return partial(worker.run, path, checked, now, log, sock)
    for note in checked.notes:
        _LOG.warning(note)
    count = worker_count(checked.config.workers)
    if count == 1:
        from sidecar import app  # noqa: PLC0415

        return partial(app.run, path, checked, now, log)
    from sidecar.supervisor import supervise  # noqa: PLC0415

    # As we were started, whichever way that was.
    command = (sys.executable, *sys.orig_argv[1:])
    return partial(supervise.run, path, checked, count, command, log)


def _hold_standard_descriptors() -> None:
    """Keep 0, 1 and 2 from being given to sockets, where they came to us closed.

    Else the next socket to be opened would be 1, and get the access log. What stands
    there instead cannot be written, so that records count as lost.
    """
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= _STDERR:
        pass
    os.close(descriptor)
