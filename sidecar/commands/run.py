"""`sidecar run`: the sidecar itself."""

from __future__ import annotations

import gc
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio

from sidecar import app
from sidecar.config.check import check
from sidecar.config.problems import ConfigError
from sidecar.telemetry import log

if TYPE_CHECKING:
    import argparse

_LOG = logging.getLogger(__name__)


def main(arguments: argparse.Namespace) -> int:
    """Run the configuration that *arguments* name; give the exit status."""
    try:
        checked = check(arguments.config, datetime.now(UTC))
        handler = log.configure(checked.config.log.level)
        for note in checked.notes:
            _LOG.warning(note)
        # What is loaded now stays: the collector need not look at it ever again.
        gc.freeze()
        trio.run(app.run, arguments.config, checked, handler)  # noqa: TID251 - a command
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except app.BindError as error:
        print(f"{arguments.config}: {error}", file=sys.stderr)
        return 1
    return 0
