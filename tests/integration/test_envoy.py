"""Envoy on either side, with its own check of SPIFFE names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.integration.conftest import (
    API,
    FRONTEND,
    Application,
    Town,
    curl,
    data_port,
    was_reset,
)
from tests.support.ports import free_port
from tests.support.processes import Process
from tests.support.programs import require

if TYPE_CHECKING:
    from tests.support.pki import Pair

_TYPES = "type.googleapis.com/envoy.extensions"


def _tls(town: Town, kind: str, own: Pair, peer: str) -> dict[str, Any]:
    demand = {"require_client_certificate": True} if kind == "Downstream" else {}
    return {
        "name": "tls",
        "typed_config": {
            "@type": f"{_TYPES}.transport_sockets.tls.v3.{kind}TlsContext",
            **demand,
            "common_tls_context": {
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(own.certificate_chain)},
                        "private_key": {"filename": str(own.private_key)},
                    }
                ],
                "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
                "validation_context": {
                    "trusted_ca": {"filename": str(town.bundle)},
                    "match_typed_subject_alt_names": [
                        {"san_type": "URI", "matcher": {"exact": peer}}
                    ],
                },
            },
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def envoy(
    town: Town,
    listen: int,
    upstream: int,
    *,
    downstream_tls: dict[str, Any] | None = None,
    upstream_tls: dict[str, Any] | None = None,
) -> Process:
    """Make an Envoy that proxies TCP, not started yet."""
    proxy = {
        "name": "tcp",
        "typed_config": {
            "@type": f"{_TYPES}.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "tcp",
            "cluster": "upstream",
        },
    }
    chain = {"filters": [proxy]}
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}
            ],
        },
    }
    if downstream_tls:
        chain["transport_socket"] = downstream_tls  # type: ignore[assignment]
    if upstream_tls:
        cluster["transport_socket"] = upstream_tls
    listener = {"name": "l", "address": _address(listen), "filter_chains": [chain]}
    configuration = town.folder / "envoy.yaml"
    configuration.write_text(
        json.dumps(
            {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
        )
    )
    options = ("--concurrency", "1", "--disable-hot-restart", "-l", "warning")
    return Process([require("envoy"), "-c", configuration, *options], town.folder)


def test_envoy_serves_a_caller_behind_a_sidecar(
    town: Town, application: Application
) -> None:
    port = free_port()
    own = town.svid(API, name="envoy")
    tls = _tls(town, "Downstream", own, FRONTEND)
    with (
        envoy(town, port, application.port, downstream_tls=tls) as peer,
        town.client(port) as frontend,
    ):
        peer.wait_for_port(port, seconds=20)
        answer = curl(f"http://127.0.0.1:{data_port(frontend)}/orders")
        record = frontend.wait_for_records(1)[0]
    assert answer.stdout == '{"path": "/orders"}\n', answer.stderr
    assert (record["outcome"], record["peer"]) == ("completed", API)


def test_envoy_calls_an_application_behind_a_sidecar(
    town: Town, application: Application
) -> None:
    port = free_port()
    own = town.svid(FRONTEND, name="envoy")
    tls = _tls(town, "Upstream", own, API)
    with (
        town.server(application.port) as api,
        envoy(town, port, data_port(api), upstream_tls=tls) as peer,
    ):
        peer.wait_for_port(port, seconds=20)
        answer = curl(f"http://127.0.0.1:{port}/orders")
        inbound = [r for r in api.wait_for_records(1) if r["outcome"] == "completed"]
    assert answer.stdout == '{"path": "/orders"}\n', answer.stderr
    assert {record["peer"] for record in inbound} <= {FRONTEND}


def test_envoy_refuses_a_caller_whose_name_it_does_not_know(
    town: Town, application: Application
) -> None:
    port = free_port()
    own = town.svid(API, name="envoy")
    tls = _tls(town, "Downstream", own, "spiffe://example.org/ns/shop/sa/other")
    with (
        envoy(town, port, application.port, downstream_tls=tls) as peer,
        town.client(port) as frontend,
    ):
        peer.wait_for_port(port, seconds=20)
        answer = curl(f"http://127.0.0.1:{data_port(frontend)}/orders")
        record = frontend.wait_for_records(1)[0]
    assert was_reset(answer), answer
    # TLS 1.3: our side had finished its handshake when the refusal came.
    assert (record["outcome"], record["reason"]) == ("tls_error", "peer_refused")
