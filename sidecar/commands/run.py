"""`sidecar run`: the sidecar itself."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import trio

from sidecar import app
from sidecar.config.check import check
from sidecar.config.problems import ConfigError
from sidecar.telemetry import log

if TYPE_CHECKING:
    import argparse

_LOG = logging.getLogger(__name__)
_STDERR: Final = 2


def main(arguments: argparse.Namespace) -> int:
    """Run the configuration that *arguments* name; give the exit status."""
    _hold_standard_descriptors()
    # Until there is something to reload; to end on it would be its default.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    now = datetime.now(UTC)
    try:
        checked = check(arguments.config, now)
        handler = log.configure(checked.config.log.level)
        for note in checked.notes:
            _LOG.warning(note)
        # What is loaded now stays: the collector need not look at it ever again.
        gc.freeze()
        trio.run(app.run, arguments.config, checked, now, handler)  # noqa: TID251 - a command
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except app.BindError as error:
        print(f"{arguments.config}: {error}", file=sys.stderr)
        return 1
    return 0


def _hold_standard_descriptors() -> None:
    """Keep 0, 1 and 2 from being given to sockets, where they came to us closed.

    Else the next socket to be opened would be 1, and get the access log. What stands
    there instead cannot be written, so that records count as lost.
    """
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= _STDERR:
        pass
    os.close(descriptor)
