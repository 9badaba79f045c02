"""The guide that every user starts from: certs/README.md, with nothing but openssl."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.conftest import Application, curl, was_reset
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.programs import require
from tests.support.sidecars import Sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUIDE = ROOT / "certs" / "openssl-guide.sh"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the script of the guide."""
    require("openssl")
    folder = tmp_path_factory.mktemp("guide") / "try"
    subprocess.run([GUIDE, folder], check=True, capture_output=True)
    return folder


@pytest.fixture
def guarded(
    made: Path, tmp_path: Path, application: Application, echo: int
) -> Iterator[tuple[Sidecar, int, int]]:
    """Run the guide's sidecar; give its port that answers in HTTP, and one that not."""
    readable, other = free_port(), free_port()
    configuration = {
        "identity": {
            "certificate_chain": str(made / "server.crt"),
            "private_key": str(made / "server.key"),
            "accept": ["subject"],
            "name_bundle": str(made / "ca.crt"),
        },
        "inbound": {
            "listeners": [
                _listener(readable, application.port),
                _listener(other, echo),
            ],
            "ports": {application.port: {"missing_certificate": "http-400"}},
        },
    }
    rule = {"name": "web-calls-api", "action": "allow", "peers": ["subject:OU=web"]}
    policy = {"default": "deny", "rules": [rule]}
    with Sidecar(tmp_path, configuration, policy) as sidecar:
        yield sidecar, readable, other


def _listener(port: int, destination: int) -> dict[str, Any]:
    return {"listen": f"127.0.0.1:{port}", "destination": f"127.0.0.1:{destination}"}


def _as(made: Path, name: str) -> tuple[str | Path, ...]:
    trust = ("--cacert", made / "ca.crt")
    return (*trust, "--cert", made / f"{name}.crt", "--key", made / f"{name}.key")


def _text(certificate: Path) -> str:
    command: list[str | Path] = [require("openssl"), "x509", "-noout", "-text"]
    command += ["-in", certificate]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_certificates_are_as_plain_as_the_guide_says(made: Path) -> None:
    client = _text(made / "client.crt")
    assert "Subject: OU = web" in client or "Subject: OU=web" in client
    assert "Public-Key: (2048 bit)" in client
    assert "Subject Alternative Name" not in client
    for key in made.glob("*.key"):
        assert key.stat().st_mode & 0o077 == 0


def test_the_client_that_the_rule_names_gets_the_answer(
    made: Path, guarded: tuple[Sidecar, int, int]
) -> None:
    sidecar, port, _ = guarded
    answer = curl(*_as(made, "client"), f"https://localhost:{port}/orders")
    record = sidecar.wait_for_records(1)[0]
    assert answer.stdout == '{"path": "/orders"}\n', answer.stderr
    assert (record["outcome"], record["peer"]) == ("completed", "subject:OU=web")


def test_without_a_certificate_an_http_caller_reads_what_is_missing(
    made: Path, guarded: tuple[Sidecar, int, int], application: Application
) -> None:
    sidecar, port, _ = guarded
    url = f"https://localhost:{port}/orders"
    answer = curl("--cacert", made / "ca.crt", "--write-out", "%{http_code}", url)
    record = sidecar.wait_for_records(1)[0]
    assert "client certificate is required" in answer.stdout, answer.stderr
    assert answer.stdout.endswith("400")
    assert (record["reason"], application.accepted) == ("no_certificate", 0)


def test_where_it_is_not_asked_for_an_alert_says_it(
    made: Path, guarded: tuple[Sidecar, int, int]
) -> None:
    sidecar, _, port = guarded
    answer = curl("--cacert", made / "ca.crt", f"https://localhost:{port}/orders")
    record = sidecar.wait_for_records(1)[0]
    assert "alert certificate required" in answer.stderr
    assert record["reason"] == "no_certificate"


def test_a_client_without_a_rule_is_reset(
    made: Path, guarded: tuple[Sidecar, int, int], application: Application
) -> None:
    sidecar, port, _ = guarded
    answer = curl(*_as(made, "batch"), f"https://localhost:{port}/orders")
    record = sidecar.wait_for_records(1)[0]
    assert was_reset(answer), answer
    assert (record["outcome"], record["peer"]) == ("denied", "subject:OU=batch")
    assert application.accepted == 0


def test_a_certificate_of_another_authority_is_refused_by_an_alert(
    made: Path, tmp_path: Path, guarded: tuple[Sidecar, int, int]
) -> None:
    sidecar, port, _ = guarded
    certificate, key = tmp_path / "x.crt", tmp_path / "x.key"
    subprocess.run(
        [
            *(require("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
            *("-keyout", key, "-out", certificate, "-subj", "/OU=web"),
        ],
        check=True,
        capture_output=True,
    )
    trust = ("--cacert", made / "ca.crt", "--cert", certificate, "--key", key)
    answer = curl(*trust, f"https://localhost:{port}/orders")
    record = sidecar.wait_for_records(1)[0]
    assert "alert unknown ca" in answer.stderr
    assert record["reason"] == "untrusted_chain"


def test_the_readme_quotes_the_script_as_it_is() -> None:
    readme = (GUIDE.parent / "README.md").read_text()
    script = GUIDE.read_text()
    begin = script.index("# The CA:")
    commands = script[begin : script.index("\nopenssl verify")].rstrip()
    assert commands in readme
