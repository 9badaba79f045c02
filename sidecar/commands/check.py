"""`sidecar check`: every problem of a configuration, without running it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sidecar.assembly import build_credentials
from sidecar.config.check import Checked, check
from sidecar.config.problems import ConfigError
from sidecar.config.report import report_lines
from sidecar.config.report_json import report_value

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def main(arguments: argparse.Namespace) -> int:
    """Check the file that *arguments* name; give the exit status."""
    if arguments.manifests is not None:
        # Not at the top: it knows the injector, which no other check needs.
        from sidecar.commands import check_manifests  # noqa: PLC0415

        return check_manifests.main(arguments.manifests, as_json=arguments.json)
    now = datetime.now(UTC)
    result = _check(arguments.file, now, arguments.endpoint_socket)
    source = str(arguments.file)
    broken = isinstance(result, ConfigError)
    if arguments.json:
        print(json.dumps(report_value(source, result), indent=2))
    else:
        lines = "\n".join(report_lines(source, result, now))
        print(lines, file=sys.stderr if broken else sys.stdout)
    return 2 if broken else 0


def _check(
    path: Path, now: datetime, endpoint_socket: str | None
) -> Checked | ConfigError:
    try:
        checked = check(path, now, endpoint_socket)
        build_credentials(path, checked)  # what only OpenSSL can tell
    except ConfigError as error:
        return error
    return checked
