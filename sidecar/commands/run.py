"""`sidecar run`: the sidecar itself."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import resource
import socket
import sys
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from sidecar import early_signals
from sidecar.admin.server import Pages
from sidecar.binding import BindError
from sidecar.config.check import check
from sidecar.config.model import LogLevel
from sidecar.config.problems import ConfigError, Problem
from sidecar.supervisor.cpus import worker_count
from sidecar.telemetry import log

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from sidecar.config.check import Checked
    from sidecar.telemetry.log import LogHandler

_LOG = logging.getLogger(__name__)
_STDERR: Final = 2
_APP_PROBES: Final = "SIDECAR_APP_PROBES"


def main(arguments: argparse.Namespace) -> int:
    """Run the configuration that *arguments* name; give the exit status."""
    _hold_standard_descriptors()
    _take_all_descriptors()
    _leave_no_core()
    now = datetime.now(UTC)
    try:
        checked, probes = _read(arguments, now)
        level = arguments.log_level or checked.config.log.level
        handler = log.configure(LogLevel(level))
        serve = _role(arguments, checked, probes, now, handler)
        # What begins now has an end.
        early_signals.remember()
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


def _read(arguments: argparse.Namespace, now: datetime) -> tuple[Checked, Pages]:
    """Read the configuration and the application's probes.

    Raises:
        ConfigError: One of the two will not do, or neither: all problems of both.
    """
    path, endpoint = arguments.config, arguments.endpoint_socket
    try:
        probes = _app_probes(arguments)
    except ConfigError as wrong:
        try:
            check(path, now, endpoint)
        except ConfigError as error:
            problems = (*error.problems, *wrong.problems)
            raise ConfigError(str(path), problems) from None
        raise
    checked = check(path, now, endpoint)
    if arguments.rules:
        from sidecar.redirect.agreement import disagreements  # noqa: PLC0415

        if problems := tuple(disagreements(checked.config, arguments.rules)):
            raise ConfigError(str(path), problems)
    return checked, probes


def _app_probes(arguments: argparse.Namespace) -> Pages:
    # A worker answers no HTTP: its supervisor does.
    if not arguments.app_probes or arguments.worker is not None:
        return Pages()
    # Who has none needs nothing of what performs them.
    from sidecar.config.app_probes import AppProbesError, parse_app_probes  # noqa: PLC0415
    from sidecar.probes.prober import pages_of  # noqa: PLC0415

    try:
        return pages_of(parse_app_probes(arguments.app_probes))
    except AppProbesError as error:
        problems = tuple(
            Problem("", each, source=_APP_PROBES) for each in error.problems
        )
        raise ConfigError(_APP_PROBES, problems) from None


def _role(
    arguments: argparse.Namespace,
    checked: Checked,
    probes: Pages,
    now: datetime,
    log: LogHandler,
) -> Callable[[], Awaitable[None]]:
    """Choose what this process is: alone, one of several, or over several.

    Each imports what it needs, and no more.
    """
    path, control = arguments.config, arguments.worker
    if control is not None:
        from sidecar.supervisor import worker  # noqa: PLC0415

        sock = socket.socket(fileno=control)
        return partial(worker.run, path, checked, now, log, sock)
    for note in checked.notes:
        _LOG.warning(note)
    count = worker_count(checked.config.workers)
    if count == 1:
        from sidecar import app  # noqa: PLC0415

        return partial(app.run, path, checked, now, log, probes)
    from sidecar.supervisor import supervise  # noqa: PLC0415

    # As we were started, whichever way that was.
    command = (sys.executable, *sys.orig_argv[1:])
    return partial(supervise.run, path, checked, count, command, log, probes)


def _hold_standard_descriptors() -> None:
    """Keep 0, 1 and 2 from being given to sockets, where they came to us closed.

    Else the next socket to be opened would be 1, and get the access log. What stands
    there instead cannot be written, so that records count as lost.
    """
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= _STDERR:
        pass
    os.close(descriptor)


def _take_all_descriptors() -> None:
    """Raise the soft limit of open files to the hard one.

    It is 1024 where nobody has set it, for programs that call select(), which this
    one does not (systemd.exec(5), LimitNOFILE). A connection takes two.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # It may be above fs.nr_open, which somebody has lowered since.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _leave_no_core() -> None:
    """Write no core file when we crash: the private key would be in it.

    Whoever wants one raises the soft limit again, with prlimit(1). PR_SET_DUMPABLE
    would keep debuggers and profilers out as well, and the probes of
    `sidecar redirect check` from /proc; the sidecar's user is nobody else's.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
