"""The stage of the demo: certificates, configurations, and two sidecars that run."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from sidecar.certs.authority import Authority
from sidecar.demo.application import application
from sidecar.identity.spiffe_id import SpiffeId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRUST_DOMAIN: Final = "example.org"
STRANGERS: Final = "partner.test"
API: Final = f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/api"
FRONTEND: Final = f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/frontend"
BATCH: Final = f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/batch"
STRANGER: Final = f"spiffe://{STRANGERS}/ns/shop/sa/frontend"

_LIFETIME: Final = timedelta(days=1)  # as long as anybody may --keep it
_RUN: Final = (sys.executable, "-m", "sidecar", "run", "--config")
_START_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 3.0


class StageError(Exception):
    """The stage could not be set; the message says what failed."""


@frozen
class Sidecar:
    """A sidecar that runs."""

    data_port: int
    telemetry_port: int
    configuration: Path
    records: Path

    @property
    def log(self) -> Path:
        """What it writes to standard error."""
        return self.configuration.with_suffix(".log")

    def get(self, path: str) -> tuple[int, str]:
        """Ask its telemetry listener.

        Raises:
            OSError: It does not answer.
        """
        link = http.client.HTTPConnection("127.0.0.1", self.telemetry_port, timeout=5)
        try:
            link.request("GET", path)
            answer = link.getresponse()
            return answer.status, answer.read().decode()
        finally:
            link.close()

    def access_records(self) -> list[dict[str, Any]]:
        """Read what it has written of its connections."""
        lines = self.records.read_text().splitlines()
        return [json.loads(line) for line in lines]


@frozen
class Stage:
    """All that runs for the demo."""

    folder: Path
    frontend: Sidecar
    api: Sidecar

    def credentials(self, name: str) -> tuple[Path, Path]:
        """Give the paths of a workload's certificate and key."""
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"


def _write(path: Path, data: bytes, mode: int = 0o600) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def make_certificates(folder: Path) -> None:
    """Make a CA for each trust domain, and an SVID for each caller and the server."""
    now = datetime.now(UTC)
    callers = {
        TRUST_DOMAIN: {"api": API, "frontend": FRONTEND, "batch": BATCH},
        STRANGERS: {"stranger": STRANGER},
    }
    for trust_domain, workloads in callers.items():
        authority = Authority.create(trust_domain, now=now)
        root = authority.root.public_bytes(Encoding.PEM)
        _write(folder / f"{trust_domain}.crt", root, 0o644)
        for name, spiffe_id in workloads.items():
            svid = authority.issue(
                SpiffeId.parse(spiffe_id),
                now=now,
                lifetime=_LIFETIME,
                dns=["localhost"],
            )
            chain = b"".join(each.public_bytes(Encoding.PEM) for each in svid.chain)
            key = svid.private_key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            _write(folder / f"{name}.crt", chain, 0o644)
            _write(folder / f"{name}.key", key)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for _ in range(count)
        ]
        return [each.getsockname()[1] for each in sockets]


def _common(name: str, telemetry: int) -> dict[str, Any]:
    return {
        "identity": {
            "certificate_chain": f"{name}.crt",
            "private_key": f"{name}.key",
            "trust_bundles": {TRUST_DOMAIN: f"{TRUST_DOMAIN}.crt"},
        },
        "telemetry": {"listen": f"127.0.0.1:{telemetry}"},
        "admin": {"listen": f"unix:{{folder}}/{name}.sock"},
    }


def _configurations(folder: Path, application_port: int) -> dict[str, Sidecar]:
    """Write what a user would write, as JSON, which is YAML."""
    api_port, api_telemetry, frontend_port, frontend_telemetry = _free_ports(4)
    local = "127.0.0.1:{}".format
    policy = {
        "default": "deny",
        "rules": [
            {
                "name": "frontend-calls-api",
                "action": "allow",
                "peers": [FRONTEND],
                "ports": [application_port],
            }
        ],
    }
    api = {
        **_common("api", api_telemetry),
        "inbound": {
            "listeners": [
                {"listen": local(api_port), "destination": local(application_port)}
            ]
        },
        "policy": "policy.yaml",
    }
    frontend = {
        **_common("frontend", frontend_telemetry),
        "outbound": {
            "listeners": [
                {"listen": local(frontend_port), "destination": local(api_port)}
            ],
            "routes": [
                {
                    "name": "api",
                    "to": ["127.0.0.1"],
                    "ports": [api_port],
                    "mode": "mtls",
                    "peers": [API],
                }
            ],
        },
    }
    for name, value in (("policy", policy), ("api", api), ("frontend", frontend)):
        text = json.dumps(value, indent=2).replace("{folder}", str(folder))
        _write(folder / f"{name}.yaml", text.encode())
    return {
        "api": _sidecar(folder, "api", api_port, api_telemetry),
        "frontend": _sidecar(folder, "frontend", frontend_port, frontend_telemetry),
    }


def _sidecar(folder: Path, name: str, port: int, telemetry: int) -> Sidecar:
    return Sidecar(
        port, telemetry, folder / f"{name}.yaml", folder / f"{name}.access.log"
    )


def _start(sidecar: Sidecar, stack: ExitStack) -> subprocess.Popen[bytes]:
    """Start a process that ends with *stack*."""
    with (
        sidecar.records.open("wb") as records,
        sidecar.log.open("wb") as messages,
        _signals_held_back(),
    ):
        process = subprocess.Popen(  # noqa: S603 - our own command, no shell
            [*_RUN, str(sidecar.configuration)],
            stdin=subprocess.DEVNULL,
            stdout=records,
            stderr=messages,
        )
        stack.callback(_stop, process)
    return process


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let the signals that end us wait for the end of the block.

    What they would interrupt in the midst of starting a process would go on without
    anybody who knows of it.
    """
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for number in came:
            signal.raise_signal(number)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_ready(sidecar: Sidecar, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            status, _ = sidecar.get("/readyz")
        except OSError:
            status = 0
        if status == http.client.OK:
            return
        time.sleep(0.02)
    said = sidecar.log.read_text()
    raise StageError(f"{sidecar.configuration.name} did not start: {said}")


@contextmanager
def stage(tell: Callable[[str], None]) -> Iterator[Stage]:
    """Set up everything, *tell* what is being done, and leave nothing behind.

    Raises:
        StageError: A sidecar did not start.
    """
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="sidecar-demo-"))
        )
        tell("making certificates for two trust domains")
        make_certificates(folder)
        tell("starting an application and a sidecar on each side")
        sidecars = _configurations(folder, stack.enter_context(application()))
        # Both start at once: most of a start is reading Python modules.
        started = [(each, _start(each, stack)) for each in sidecars.values()]
        for sidecar, process in started:
            _wait_ready(sidecar, process)
        yield Stage(folder, **sidecars)
