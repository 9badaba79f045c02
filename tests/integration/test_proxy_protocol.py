"""Applications of other projects that are told of their caller."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from queue import Queue
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.conftest import API, FRONTEND, Town, curl, data_port
from tests.integration.test_nginx import nginx
from tests.support.ports import free_port
from tests.support.processes import Process
from tests.support.programs import require
from tests.support.proxy_header import Header, Partial, decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sidecars import Record, Sidecar

_TYPES = "type.googleapis.com/envoy.extensions"


def haproxy(folder: Path, configuration: str) -> Process:
    """Make an HAProxy, not started yet."""
    file = folder / "haproxy.cfg"
    timeouts = "timeout connect 5s\n timeout client 5s\n timeout server 5s"
    file.write_text(f"defaults\n {timeouts}\n{configuration}")
    return Process([require("haproxy"), "-db", "-f", file], folder)


def telling(town: Town, port: int, told: str, mode: str = "strict") -> Sidecar:
    """Make a sidecar before the application at *port*, which is *told* of callers."""
    peers = [FRONTEND, "unauthenticated"]
    rule = {"name": "all", "action": "allow", "peers": peers, "ports": [port]}
    return town.server(
        port,
        policy={"default": "deny", "rules": [rule]},
        inbound={"mode": mode, "ports": {port: {"proxy_protocol": told}}},
    )


def called(api: Sidecar, count: int = 1) -> Record:
    """The last of *count* connections that the sidecar has relayed."""
    relayed = [each for each in api.wait_for_records(count) if "upstream" in each]
    return relayed[count - 1]


def in_words(api: Sidecar, record: Record) -> str:
    """What the application should say of a connection."""
    host, _, port = record["source"].rpartition(":")
    return f"from {host} {port} to 127.0.0.1 {data_port(api)}"


def ask(town: Town, api: Sidecar) -> str:
    """What the application answers to a caller with a sidecar of its own."""
    with town.client(data_port(api)) as frontend:
        answer = curl(f"http://127.0.0.1:{data_port(frontend)}/")
    assert not answer.returncode, answer.stderr
    return answer.stdout


@pytest.mark.parametrize("told", ["addresses", "tls"])
def test_nginx_knows_the_caller_in_http(town: Town, told: str) -> None:
    port = free_port()
    ends = "from $proxy_protocol_addr $proxy_protocol_port"
    goals = "to $proxy_protocol_server_addr $proxy_protocol_server_port"
    block = f"""server {{ listen 127.0.0.1:{port} proxy_protocol;
        location / {{ return 200 "{ends} {goals}"; }} }}"""
    with nginx(town.folder, block) as app, telling(town, port, told) as api:
        app.wait_for_port(port)
        said = ask(town, api)
        record = called(api)
    assert said == in_words(api, record)
    assert record["peer"] == FRONTEND


@pytest.mark.parametrize("mode", ["strict", "disabled"])
def test_nginx_speaks_first_to_a_caller_that_it_knows(town: Town, mode: str) -> None:
    """It greets as soon as it has the header, and the caller never says a word."""
    port = free_port()
    ends = "from $proxy_protocol_addr $proxy_protocol_port"
    goals = "to $proxy_protocol_server_addr $proxy_protocol_server_port"
    block = f"""server {{ listen 127.0.0.1:{port} proxy_protocol;
        return "{ends} {goals}"; }}"""
    with (
        nginx(town.folder, block, stream=True) as app,
        # Its stream module takes 107 bytes of header before 1.23.3.
        telling(town, port, "addresses", mode) as api,
        town.client(data_port(api)) as frontend,
    ):
        app.wait_for_port(port)
        door = data_port(frontend if mode == "strict" else api)
        with socket.create_connection(("127.0.0.1", door), timeout=10) as sock:
            said = sock.makefile().read()
        record = called(api)
    assert said == in_words(api, record)
    assert record["received"] == 0


@pytest.mark.parametrize("told", ["addresses", "tls"])
def test_haproxy_knows_the_caller(town: Town, told: str) -> None:
    port = free_port()
    configuration = f"""
frontend app
 mode http
 bind 127.0.0.1:{port} accept-proxy
 http-request return status 200 content-type text/plain lf-string "from %ci %cp to %fi %fp"
"""
    with (
        haproxy(town.folder, configuration) as app,
        telling(town, port, told) as api,
    ):
        app.wait_for_port(port)
        said = ask(town, api)
        record = called(api)
    assert said == in_words(api, record)


def test_envoy_reads_the_spiffe_id_where_that_of_ztunnel_is(town: Town) -> None:
    port = free_port()
    with envoy(town.folder, port) as app, telling(town, port, "tls") as api:
        app.wait_for_port(port, seconds=20)
        assert ask(town, api) == "hello"
        record = called(api)
        line = app.wait_for_line(f"peer {FRONTEND}", seconds=20)
    assert line == (
        f"from {record['source']} to 127.0.0.1:{data_port(api)} peer {FRONTEND}"
    )


def envoy(folder: Path, port: int) -> Process:
    """Make an Envoy that takes the header and logs what it says."""
    key = "envoy.filters.listener.proxy_protocol"
    identity = {"tlv_type": 0xD0, "on_tlv_present": {"key": "peer"}}
    listener_filter = {
        "name": key,
        "typed_config": {
            "@type": f"{_TYPES}.filters.listener.proxy_protocol.v3.ProxyProtocol",
            "rules": [identity],
        },
    }
    line = (
        "from %DOWNSTREAM_REMOTE_ADDRESS% to %DOWNSTREAM_LOCAL_ADDRESS%"
        f" peer %DYNAMIC_METADATA({key}:peer)%\n"
    )
    access_log = {
        "name": "stdout",
        "typed_config": {
            "@type": f"{_TYPES}.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"text_format_source": {"inline_string": line}},
        },
    }
    answer = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "hello"}},
    }
    router = {
        "name": "router",
        "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"},
    }
    manager = {
        "name": "http",
        "typed_config": {
            "@type": f"{_TYPES}.filters.network.http_connection_manager.v3"
            ".HttpConnectionManager",
            "stat_prefix": "http",
            "http_filters": [router],
            "route_config": {
                "virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [answer]}]
            },
        },
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    listener = {
        "name": "l",
        "address": address,
        "access_log": [
            access_log
        ],  # of connections: those of requests have no such key
        "listener_filters": [listener_filter],
        "filter_chains": [{"filters": [manager]}],
    }
    configuration = folder / "envoy.yaml"
    configuration.write_text(
        json.dumps({"static_resources": {"listeners": [listener]}})
    )
    options = "--concurrency 1 --disable-hot-restart --file-flush-interval-msec 50"
    return Process([require("envoy"), "-c", configuration, *options.split()], folder)


# --- HAProxy says the same


@contextlib.contextmanager
def reading() -> Iterator[tuple[int, Queue[Header]]]:
    """Run an application that reads headers, answers "ok" and ends."""
    headers: Queue[Header] = Queue()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with sock, sock.makefile("rb") as stream:
                    headers.put(_read_header(stream))
                    sock.sendall(b"ok")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], headers
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _read_header(stream: Any) -> Header:
    read = b""
    while True:
        try:
            return decode(read)
        except Partial:
            read += stream.read(1)


def told_of(frontend: Sidecar, headers: Queue[Header]) -> Header:
    """Call once, and give what the application was told."""
    with socket.create_connection(("127.0.0.1", data_port(frontend)), 10) as sock:
        assert sock.makefile().read() == "ok"
    return headers.get(timeout=10)


def test_haproxy_in_our_place_says_the_same(town: Town) -> None:
    """Field by field, for a first handshake and for one that resumes it."""
    port = free_port()
    own = town.svid(API, name="haproxy")
    together = town.folder / "haproxy.pem"
    together.write_bytes(
        own.certificate_chain.read_bytes() + own.private_key.read_bytes()
    )
    said = []
    with reading() as (app, headers):
        options = "ssl,cert-cn,ssl-cipher,cert-key,cert-sig"
        configuration = f"""
listen tls
 mode tcp
 bind 127.0.0.1:{port} ssl crt {together} ca-file {town.bundle} verify required \
ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256 alpn sidecar-mtls/1
 server app 127.0.0.1:{app} send-proxy-v2 proxy-v2-options {options}
"""
        with (
            haproxy(town.folder, configuration) as peer,
            town.client(port) as frontend,
        ):
            peer.wait_for_port(port)
            said.append([told_of(frontend, headers) for _ in range(2)])
        with telling(town, app, "tls") as api, town.client(data_port(api)) as frontend:
            said.append([told_of(frontend, headers) for _ in range(2)])
    for theirs, ours in zip(*said, strict=True):
        assert theirs.ssl is not None
        assert ours.ssl is not None
        assert (ours.ssl.client, ours.ssl.verify) == (theirs.ssl.client, 0)
        values = {**ours.ssl.values}
        assert values.pop(0x26) == b"X25519MLKEM768"  # newer than this HAProxy
        values[0x23] = b"TLS_AES_128_GCM_SHA256"  # ours is the client's first choice
        assert values == theirs.ssl.values
        assert ours.values[0x01] == theirs.values[0x01] == b"sidecar-mtls/1"
        assert ours.values[0xD0].decode() == FRONTEND
    assert [each.ssl and each.ssl.client for each in said[1]] == [0x07, 0x05]
