"""Two sidecars between real programs: what goes in comes out."""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import (
    API,
    FRONTEND,
    Application,
    Town,
    curl,
    data_port,
    read_to_end,
    was_reset,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_curl_reaches_the_application_through_both(
    town: Town, application: Application
) -> None:
    with (
        town.server(application.port) as api,
        town.client(data_port(api)) as frontend,
    ):
        answer = curl(f"http://127.0.0.1:{data_port(frontend)}/orders")
        inbound, outbound = api.wait_for_records(1)[0], frontend.wait_for_records(1)[0]
    assert answer.stdout == '{"path": "/orders"}\n', answer.stderr
    assert (inbound["outcome"], inbound["peer"]) == ("completed", FRONTEND)
    assert (outbound["outcome"], outbound["peer"]) == ("completed", API)
    assert inbound["tls_version"] == outbound["tls_version"] == "TLSv1.3"
    assert (inbound["rule"], outbound["rule"]) == ("frontend", "api")
    assert inbound["received"] == outbound["received"]
    assert inbound["sent"] == outbound["sent"]


@pytest.mark.parametrize("mib", [1024])
def test_a_gibibyte_arrives_as_it_was_sent(
    town: Town, application: Application, tmp_path: Path, mib: int
) -> None:
    block, digest = os.urandom(1 << 20), hashlib.sha256()
    big = tmp_path / "big"
    with big.open("wb") as file:
        for number in range(mib):
            data = number.to_bytes(8, "big") + block[8:]
            digest.update(data)
            file.write(data)
    with (
        town.server(application.port) as api,
        town.client(data_port(api)) as frontend,
    ):
        url = f"http://127.0.0.1:{data_port(frontend)}/big"
        answer = curl("--header", "Expect:", "--upload-file", big, url)
        record = api.wait_for_records(1)[0]
        scraped = api.metrics().sum("sidecar_received_bytes_total", direction="inbound")
    assert answer.stdout == digest.hexdigest(), answer.stderr
    assert record["outcome"] == "completed"
    assert record["received"] == scraped > mib << 20


def test_a_half_closed_connection_still_carries_the_answer(
    town: Town, echo: int
) -> None:
    sent = os.urandom(3 << 20)
    with (
        town.server(echo) as api,
        town.client(data_port(api)) as frontend,
        socket.create_connection(("127.0.0.1", data_port(frontend)), 20) as sock,
    ):
        received = bytearray()
        for at in range(0, len(sent), 1 << 16):
            sock.sendall(sent[at : at + (1 << 16)])
            sock.setblocking(False)
            with suppress(BlockingIOError):
                received += sock.recv(1 << 20)
            sock.settimeout(20)
        sock.shutdown(socket.SHUT_WR)
        received += read_to_end(sock)
        outcomes = {
            api.wait_for_records(1)[0]["outcome"],
            frontend.wait_for_records(1)[0]["outcome"],
        }
    assert bytes(received) == sent
    assert outcomes == {"completed"}


def test_an_application_that_is_down_resets_its_caller(town: Town) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = gone.getsockname()[1]
    with (
        town.server(nobody) as api,
        town.client(data_port(api)) as frontend,
        socket.create_connection(("127.0.0.1", data_port(frontend)), 20) as sock,
    ):
        sock.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            read_to_end(sock)
        record = api.wait_for_records(1)[0]
    assert record["outcome"] == "upstream_refused"


def test_a_caller_without_a_rule_is_reset_and_the_application_not_reached(
    town: Town, application: Application
) -> None:
    with (
        town.server(application.port, policy={"default": "deny", "rules": []}) as api,
        town.client(data_port(api)) as frontend,
    ):
        answer = curl(f"http://127.0.0.1:{data_port(frontend)}/")
        record = api.wait_for_records(1)[0]
        denied = api.metrics().sum("sidecar_policy_decisions_total", decision="deny")
    assert was_reset(answer), answer
    assert (record["outcome"], record["peer"]) == ("denied", FRONTEND)
    assert (denied, application.accepted) == (1, 0)


def test_a_server_that_is_somebody_else_is_refused(
    town: Town, application: Application
) -> None:
    other = ("spiffe://example.org/ns/shop/sa/payments",)
    with (
        town.server(application.port) as api,
        town.client(data_port(api), peers=other) as frontend,
    ):
        answer = curl(f"http://127.0.0.1:{data_port(frontend)}/")
        outbound, inbound = frontend.wait_for_records(1)[0], api.wait_for_records(1)[0]
    assert was_reset(answer), answer
    assert (outbound["outcome"], outbound["reason"]) == (
        "handshake_failed",
        "unexpected_peer",
    )
    assert (inbound["outcome"], inbound["reason"]) == (
        "handshake_failed",
        "peer_refused",
    )
    assert application.accepted == 0
