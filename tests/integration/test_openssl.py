"""OpenSSL's own client and server on either side."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.integration.conftest import (
    API,
    FRONTEND,
    Application,
    Town,
    curl,
    data_port,
)
from tests.support.ports import free_port
from tests.support.processes import Process
from tests.support.programs import require

if TYPE_CHECKING:
    from pathlib import Path


def s_client(port: int, *arguments: str | Path, send: bytes) -> str:
    """Send and read until the peer ends; give all that openssl printed."""
    result = subprocess.run(
        [
            *(require("openssl"), "s_client", "-connect", f"127.0.0.1:{port}"),
            *("-ign_eof", *arguments),
        ],
        input=send,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=30,
        check=False,
    )
    return result.stdout.decode(errors="replace")


_REQUEST = b"GET /orders HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n"


def _credentials(town: Town, spiffe_id: str) -> tuple[str | Path, ...]:
    pair = town.svid(spiffe_id, name="openssl")
    return "-cert", pair.certificate_chain, "-key", pair.private_key


def test_s_client_reaches_the_application(town: Town, application: Application) -> None:
    with town.server(application.port) as api:
        own = _credentials(town, FRONTEND)
        seen = s_client(data_port(api), *own, "-CAfile", town.bundle, send=_REQUEST)
        record = api.wait_for_records(1)[0]
    assert '{"path": "/orders"}' in seen
    assert "Verify return code: 0 (ok)" in seen
    assert record["outcome"] == "completed"


def test_s_client_is_told_by_an_alert_why_it_is_refused(
    town: Town, application: Application
) -> None:
    with town.server(application.port) as api:
        nobody = s_client(data_port(api), send=_REQUEST)
        old = s_client(
            data_port(api), "-tls1_2", *_credentials(town, FRONTEND), send=_REQUEST
        )
        reasons = [record["reason"] for record in api.wait_for_records(2)]
    assert "alert certificate required" in nobody
    assert "alert protocol version" in old
    assert reasons == ["no_certificate", "protocol_error"]
    assert application.accepted == 0


def test_the_certificate_authority_is_not_part_of_what_we_show(
    town: Town, application: Application
) -> None:
    with town.server(application.port) as api:
        own = _credentials(town, FRONTEND)
        seen = s_client(data_port(api), *own, "-showcerts", send=_REQUEST)
    assert seen.count("-----BEGIN CERTIFICATE-----") == 1


def test_s_server_answers_a_caller_behind_a_sidecar(town: Town) -> None:
    port = free_port()
    own = town.svid(API, name="openssl")
    server = Process(
        [
            *(require("openssl"), "s_server", "-accept", str(port), "-www"),
            *("-cert", own.certificate_chain, "-key", own.private_key),
            *("-CAfile", town.bundle, "-Verify", "1", "-verify_return_error"),
        ],
        town.folder,
        "s_server",
    )
    with server, town.client(port) as frontend:
        server.wait_for_line("ACCEPT")
        answer = curl("--http0.9", f"http://127.0.0.1:{data_port(frontend)}/")
        record = frontend.wait_for_records(1)[0]
    assert record["peer"] == API, answer.stderr
    assert "New, TLSv1.3" in answer.stdout, answer.stderr
