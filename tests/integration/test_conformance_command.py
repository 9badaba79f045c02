"""`sidecar certs conformance`, asked about a sidecar as about any endpoint."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.certs.conformance import CASES
from tests.integration.conftest import Application, data_port
from tests.support.ports import free_port
from tests.support.sidecars import Sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND = (sys.executable, "-m", "sidecar", "certs", "conformance")
ASK = ("--send", r"GET /orders HTTP/1.0\r\n\r\n", "--expect", "200 OK")


def conformance(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    words = ["--state", str(folder / "state"), *map(str, arguments)]
    return subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def endpoint(
    folder: Path, application: Application, port: int | None = None, **more: str
) -> Iterator[Sidecar]:
    """Run a sidecar that trusts what the command has prepared."""
    state = folder / "state"
    words = ("issue", "spiffe://example.org/endpoint", "--dir", state, "--force")
    issued = subprocess.run(
        [sys.executable, "-m", "sidecar", "certs", *words],
        check=False,
        capture_output=True,
        text=True,
    )
    assert issued.returncode == 0, issued.stderr
    domains = ("example.org", "partner.test")
    rule = {
        "name": "all",
        "action": "allow",
        "peers": [f"spiffe://{domain}/**" for domain in domains],
    }
    listener = {
        "listen": f"127.0.0.1:{port or free_port()}",
        "destination": f"127.0.0.1:{application.port}",
    }
    configuration: dict[str, Any] = {
        "identity": {
            "certificate_chain": str(state / "endpoint.crt"),
            "private_key": str(state / "endpoint.key"),
            "trust_bundles": {
                domain: str(state / "bundles" / f"{domain}.crt") for domain in domains
            },
            **more,
        },
        "inbound": {"listeners": [listener]},
    }
    with Sidecar(folder, configuration, {"rules": [rule]}) as sidecar:
        yield sidecar


def test_a_sidecar_does_with_every_certificate_what_the_standard_says(
    tmp_path: Path, application: Application
) -> None:
    prepared = conformance(tmp_path)
    assert prepared.returncode == 0, prepared.stderr
    with endpoint(tmp_path, application) as sidecar:
        target = f"127.0.0.1:{data_port(sidecar)}"
        done = conformance(tmp_path, "--target", target, "--json", *ASK)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    wanted = {case.name for case in CASES if not case.with_crl}
    assert {each["name"] for each in found["cases"]} == wanted
    assert found["summary"]["as_the_standard_says"] == len(wanted)
    refused = [each for each in found["cases"] if each["got"] == "refused"]
    assert {each["end"] for each in refused} == {"alert"}


def test_silence_is_acceptance_where_nobody_asks(
    tmp_path: Path, application: Application
) -> None:
    """And the revocation list is asked about in a run of its own."""
    conformance(tmp_path)
    crl = str(tmp_path / "state" / "bundles" / "revoked.crl")
    with endpoint(tmp_path, application, crl=crl) as sidecar:
        target = f"127.0.0.1:{data_port(sidecar)}"
        done = conformance(tmp_path, "--target", target, "--crl")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "accepted (open)" in done.stdout
    assert "refused (alert certificate_revoked)" in done.stdout
    assert done.stdout.endswith("2 of 2 cases as the standard says\n")


def test_an_endpoint_that_trusts_other_roots_is_not_judged(
    tmp_path: Path, application: Application
) -> None:
    (tmp_path / "other").mkdir()
    conformance(tmp_path)
    conformance(tmp_path / "other")
    with endpoint(tmp_path / "other", application) as sidecar:
        target = f"127.0.0.1:{data_port(sidecar)}"
        done = conformance(tmp_path, "--target", target, *ASK)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "does the endpoint trust the bundles" in done.stderr


def test_on_a_terminal_it_waits_until_the_bundles_are_installed(
    tmp_path: Path, application: Application
) -> None:
    port = free_port()
    ours, theirs = pty.openpty()
    words = ["--state", str(tmp_path / "state"), "--target", f"127.0.0.1:{port}", *ASK]
    asking = subprocess.Popen(
        [*COMMAND, *words], stdin=theirs, stderr=theirs, stdout=subprocess.PIPE
    )
    os.close(theirs)
    try:
        assert "example.org.crt  the trust bundle" in heard_until(ours, "press Enter")
        with endpoint(tmp_path, application, port):
            os.write(ours, b"\n")
            heard_until(ours, "134 of 134 shown")
            printed, _ = asking.communicate(timeout=30)
    finally:
        asking.kill()
        asking.wait()
        os.close(ours)
    assert asking.returncode == 0
    assert printed.endswith(b"134 of 134 cases as the standard says\n")


def heard_until(terminal: int, words: str) -> str:
    heard = ""
    while words not in heard:
        assert select.select([terminal], [], [], 30)[0], heard
        heard += os.read(terminal, 65536).decode()
    return heard


@pytest.mark.parametrize("json_", [(), ("--json",)])
def test_nobody_there_is_said(tmp_path: Path, json_: tuple[str, ...]) -> None:
    conformance(tmp_path)
    done = conformance(tmp_path, "--target", f"127.0.0.1:{free_port()}", *json_)
    assert (done.returncode, done.stdout) == (1, "")
    assert "must accept connections, got: connection refused" in done.stderr
