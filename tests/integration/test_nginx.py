"""nginx on either side: it knows mutual TLS, and nothing of SPIFFE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
from tests.support.programs import nginx_stream_module, require

if TYPE_CHECKING:
    from pathlib import Path


def nginx(folder: Path, block: str, *, stream: bool = False) -> Process:
    """Make an nginx with one block of configuration, not started yet."""
    configuration = folder / "nginx.conf"
    module = nginx_stream_module() if stream else ""
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    inside = block if stream else f"access_log off; {temporary} {block}"
    configuration.write_text(
        f"{module} worker_processes 1; daemon off; pid {folder}/nginx.pid;"
        f" error_log {folder}/nginx.log; events {{ }}"
        f" {'stream' if stream else 'http'} {{ {inside} }}"
    )
    return Process([require("nginx"), "-c", configuration, "-p", folder], folder)


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_nginx_serves_a_caller_behind_a_sidecar(town: Town, version: str) -> None:
    server = town.svid(API, name="nginx")
    port = free_port()
    block = f"""server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {server.certificate_chain};
        ssl_certificate_key {server.private_key};
        ssl_client_certificate {town.bundle};
        ssl_verify_client on;
        ssl_protocols {version};
        location / {{ return 200 "hello $ssl_client_verify $ssl_protocol"; }} }}"""
    tls = {"minimum_version": "1.2"}
    with (
        nginx(town.folder, block) as peer,
        town.client(port, tls=tls) as frontend,
    ):
        peer.wait_for_port(port)
        url = f"http://127.0.0.1:{data_port(frontend)}/"
        answers = [curl("--http1.1", url) for _ in range(2)]
        record = frontend.wait_for_records(2)[-1]
    assert [each.stdout for each in answers] == [f"hello SUCCESS {version}"] * 2
    assert (record["peer"], record["tls_version"]) == (API, version.replace("v", "v"))


def test_nginx_calls_an_application_behind_a_sidecar(
    town: Town, application: Application
) -> None:
    client = town.svid(FRONTEND, name="nginx")
    port = free_port()
    with town.server(application.port) as api:
        block = f"""server {{
            listen 127.0.0.1:{port};
            proxy_pass 127.0.0.1:{data_port(api)};
            proxy_ssl on;
            proxy_ssl_protocols TLSv1.3;
            proxy_ssl_certificate {client.certificate_chain};
            proxy_ssl_certificate_key {client.private_key};
            proxy_ssl_trusted_certificate {town.bundle};
            proxy_ssl_verify off; }}"""
        with nginx(town.folder, block, stream=True) as peer:
            peer.wait_for_port(port)
            before = len(api.wait_for_records(1))  # that look was a connection too
            answer = curl(f"http://127.0.0.1:{port}/orders")
            record = api.wait_for_records(before + 1)[-1]
    assert answer.stdout == '{"path": "/orders"}\n', answer.stderr
    assert (record["outcome"], record["peer"]) == ("completed", FRONTEND)
