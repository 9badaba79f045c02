"""Closed loop: as many requests as a number of connections can carry, by wrk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from attrs import frozen

from bench.processes import output_of
from bench.programs import find
from bench.unmeasured import Unmeasured

_SCRIPT: Final = Path(__file__).with_name("report.lua")
_GRACE_SECONDS: Final = 30.0


@frozen
class Load:
    """What wrk is to do, but for how long."""

    path: str
    connections: int
    upload_bytes: int = 0
    """Upload bodies of so many bytes, where not 0."""
    reconnect: bool = False
    """A new connection for each request."""


@frozen
class Report:
    """What came of it; times are in microseconds."""

    requests: int
    received_bytes: int
    seconds: float
    p50: float
    p99: float
    p999: float


def run(load: Load, port: int, seconds: int) -> Report:
    """Put *load* on a port for *seconds*.

    Raises:
        Unmeasured: wrk failed, or any of the requests did.
    """
    return parse(output_of(command(load, port, seconds), seconds + _GRACE_SECONDS))


def command(load: Load, port: int, seconds: int) -> list[str | Path]:
    """Return the command line that puts *load* on a port."""
    close = ["--header", "Connection: close"] if load.reconnect else []
    body = [str(load.upload_bytes)] if load.upload_bytes else []
    return [
        find("wrk"),
        "--threads=1",
        f"--connections={load.connections}",
        f"--duration={seconds}s",
        "--timeout=20s",
        f"--script={_SCRIPT}",
        *close,
        f"http://127.0.0.1:{port}{load.path}",
        "--",
        *body,
    ]


def parse(output: str) -> Report:
    """Read what `report.lua` printed, after all that wrk itself has to say.

    Raises:
        Unmeasured: It is not there, or requests failed.
    """
    line = output.rstrip("\n").rpartition("\n")[2]
    try:
        said = json.loads(line)
    except ValueError:
        raise Unmeasured(f"wrk: must end with a report, got {line!r}") from None
    kinds = ("connect", "read", "write", "timeout", "status")
    failed = {kind: said[kind] for kind in kinds if said[kind]}
    if failed:
        what = ", ".join(f"{kind} {count}" for kind, count in failed.items())
        raise Unmeasured(f"requests failed beside {said['requests']} answered: {what}")
    return Report(
        said["requests"],
        said["bytes"],
        said["seconds"],
        said["p50_us"],
        said["p99_us"],
        said["p999_us"],
    )
