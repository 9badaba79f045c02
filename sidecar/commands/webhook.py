"""`sidecar webhook`: injection for an API server to call."""

from __future__ import annotations

import gc
import sys
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import trio

from sidecar import early_signals
from sidecar.binding import BindError
from sidecar.config.address import AddressError, parse_listen
from sidecar.config.model import LogLevel
from sidecar.config.problems import ConfigError
from sidecar.telemetry import log
from sidecar.webhook.certificate import Files
from sidecar.webhook.current import load
from sidecar.webhook.serve import Options, run

if TYPE_CHECKING:
    import argparse

    from sidecar.config.model import Endpoint


def main(arguments: argparse.Namespace) -> int:
    """Run the webhook that *arguments* describe; give the exit status."""
    try:
        listen = _endpoint("--listen", arguments.listen)
        telemetry = _endpoint("--telemetry", arguments.telemetry)
    except AddressError as error:
        print(f"sidecar webhook: {error}", file=sys.stderr)
        return 2
    if not arguments.drain_delay >= 0:
        print("--drain-delay: expected seconds, 0 or more", file=sys.stderr)
        return 2
    options = Options(
        listen=listen,
        telemetry=telemetry,
        files=Files(arguments.cert, arguments.key, arguments.client_ca),
        settings_file=arguments.settings,
        fail_open=arguments.fail == "open",
        drain_seconds=arguments.drain_delay,
    )
    try:
        loaded = load(options.files, options.settings_file, datetime.now(UTC))
        handler = log.configure(LogLevel(arguments.log_level))
        # What begins now has an end.
        early_signals.remember()
        gc.freeze()
        trio.run(partial(run, options, loaded, handler))  # noqa: TID251 - a command
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except BindError as error:
        print(f"sidecar webhook: {error}", file=sys.stderr)
        return 1
    return 0


def _endpoint(option: str, text: str) -> Endpoint:
    try:
        return parse_listen(text)
    except AddressError as error:
        raise AddressError(f"{option}: {error}") from None
