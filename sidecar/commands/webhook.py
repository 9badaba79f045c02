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
    problems: list[str] = []
    listen = _endpoint("--listen", arguments.listen, problems)
    telemetry = _endpoint("--telemetry", arguments.telemetry, problems)
    if not arguments.drain_delay >= 0:
        what = f"expected seconds, 0 or more, got {arguments.drain_delay:g}"
        problems.append(f"--drain-delay: {what}")
    files = Files(
        arguments.cert, arguments.key, arguments.client_ca, arguments.allow_readable_key
    )
    loaded = None
    try:
        loaded = load(files, arguments.settings, datetime.now(UTC))
    except ConfigError as error:
        problems.append(str(error))
    if problems or loaded is None or listen is None or telemetry is None:
        print("\n".join(problems), file=sys.stderr)
        return 2
    options = Options(
        listen=listen,
        telemetry=telemetry,
        files=files,
        settings_file=arguments.settings,
        fail_open=arguments.fail == "open",
        drain_seconds=arguments.drain_delay,
    )
    try:
        handler = log.configure(LogLevel(arguments.log_level))
        # What begins now has an end.
        early_signals.remember()
        gc.freeze()
        trio.run(partial(run, options, loaded, handler))  # noqa: TID251 - a command
    except BindError as error:
        print(f"sidecar webhook: {error}", file=sys.stderr)
        return 1
    return 0


def _endpoint(option: str, text: str, problems: list[str]) -> Endpoint | None:
    try:
        return parse_listen(text)
    except AddressError as error:
        problems.append(f"sidecar webhook: {option}: {error}")
        return None
