"""The proxies that are asked, each as an endpoint of mutual TLS.

Every one trusts both bundles and admits everybody in them; where one has SPIFFE
settings, it has them here.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ASK: Final = ("--send", r"GET / HTTP/1.0\r\n\r\n", "--expect", "200")

_DOMAINS: Final = ("example.org", "partner.test")
_EVERYBODY: Final = [f"spiffe://{domain}/" for domain in _DOMAINS]


@frozen
class Site:
    """Where one endpoint is set up: its folder, its port, and the application."""

    folder: Path
    state: Path
    port: int
    application: int

    @property
    def certificate(self) -> Path:
        return self.state / "endpoint.crt"

    @property
    def key(self) -> Path:
        return self.state / "endpoint.key"

    @property
    def bundles(self) -> Path:
        return self.state / "bundles"

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


@frozen
class Proxy:
    """An endpoint.

    Attributes:
        name: At the head of its column.
        program: What has to be installed; found on PATH, or beside Python.
        version: Arguments that make it print its version.
        command: Sets it up, and says how it is started.
        how: Its settings, in a line.
    """

    name: str
    program: str
    version: tuple[str, ...]
    command: Callable[[str, Site], Sequence[str]]
    how: str


def _sidecar(_: str, site: Site) -> Sequence[str]:
    listener = {
        "listen": f"127.0.0.1:{site.port}",
        "destination": f"127.0.0.1:{site.application}",
    }
    rule = {"name": "all", "action": "allow", "peers": [f"{x}**" for x in _EVERYBODY]}
    identity = {
        "certificate_chain": str(site.certificate),
        "private_key": str(site.key),
        "trust_bundles": {each: str(site.bundles / f"{each}.crt") for each in _DOMAINS},
    }
    policy = site.write("policy.json", json.dumps({"rules": [rule]}))
    configuration = {
        "identity": identity,
        "inbound": {"listeners": [listener]},
        "policy": policy,
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
        "telemetry": {"listen": f"127.0.0.1:{free_port()}"},
    }
    path = site.write("sidecar.yaml", json.dumps(configuration))
    return [sys.executable, "-m", "sidecar", "run", "--config", path]


def _envoy_with(validation: dict[str, Any], program: str, site: Site) -> Sequence[str]:
    types = "type.googleapis.com/envoy.extensions"
    pair = {
        "certificate_chain": {"filename": str(site.certificate)},
        "private_key": {"filename": str(site.key)},
    }
    tls = {
        "@type": f"{types}.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_certificates": [pair],
            "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
            "validation_context": validation,
        },
    }
    proxy = {
        "@type": f"{types}.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tcp",
        "cluster": "application",
    }
    chain = {
        "filters": [{"name": "tcp", "typed_config": proxy}],
        "transport_socket": {"name": "tls", "typed_config": tls},
    }

    def address(port: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    endpoint = {"endpoint": {"address": address(site.application)}}
    cluster = {
        "name": "application",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "application",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }
    listener = {"name": "l", "address": address(site.port), "filter_chains": [chain]}
    resources = {"listeners": [listener], "clusters": [cluster]}
    path = site.write("envoy.json", json.dumps({"static_resources": resources}))
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
    return [program, "--config-path", path, *options]


def _matchers() -> list[dict[str, Any]]:
    return [{"san_type": "URI", "matcher": {"prefix": each}} for each in _EVERYBODY]


def _envoy_spiffe(program: str, site: Site) -> Sequence[str]:
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
    domains = [
        {"name": each, "trust_bundle": {"filename": str(site.bundles / f"{each}.crt")}}
        for each in _DOMAINS
    ]
    validator = {
        "name": "envoy.tls.cert_validator.spiffe",
        "typed_config": {
            "@type": f"{kind}.SPIFFECertValidatorConfig",
            "trust_domains": domains,
        },
    }
    validation = {
        "custom_validator_config": validator,
        "match_typed_subject_alt_names": _matchers(),
    }
    return _envoy_with(validation, program, site)


def _envoy_roots(program: str, site: Site) -> Sequence[str]:
    validation = {
        "trusted_ca": {"filename": str(site.bundles / "both.crt")},
        "match_typed_subject_alt_names": _matchers(),
    }
    return _envoy_with(validation, program, site)


def _nginx(program: str, site: Site) -> Sequence[str]:
    text = f"""
daemon off;
pid {site.folder}/nginx.pid;
error_log {site.folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {site.folder}/body;
    proxy_temp_path {site.folder}/proxy;
    fastcgi_temp_path {site.folder}/fastcgi;
    uwsgi_temp_path {site.folder}/uwsgi;
    scgi_temp_path {site.folder}/scgi;
    server {{
        listen 127.0.0.1:{site.port} ssl;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {site.certificate};
        ssl_certificate_key {site.key};
        ssl_client_certificate {site.bundles}/both.crt;
        ssl_verify_client on;
        ssl_verify_depth 4;
        location / {{ return 200 "here"; }}
    }}
}}
"""
    path = site.write("nginx.conf", text)
    return [program, "-c", path, "-p", str(site.folder), "-e", "stderr"]


def _haproxy(program: str, site: Site) -> Sequence[str]:
    both = site.certificate.read_text() + site.key.read_text()
    pair = site.write("pair.pem", both)
    text = f"""
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen l
    bind 127.0.0.1:{site.port} ssl crt {pair} ca-file {site.bundles}/both.crt verify required
    server s 127.0.0.1:{site.application}
"""
    return [program, "-db", "-f", site.write("haproxy.cfg", text)]


def _stunnel(program: str, site: Site) -> Sequence[str]:
    text = f"""
foreground = yes
syslog = no
pid =
[l]
accept = 127.0.0.1:{site.port}
connect = 127.0.0.1:{site.application}
cert = {site.certificate}
key = {site.key}
CAfile = {site.bundles}/both.crt
verifyChain = yes
requireCert = yes
"""
    return [program, site.write("stunnel.conf", text)]


def _openssl(program: str, site: Site) -> Sequence[str]:
    command = f"{program} s_server -accept 127.0.0.1:{site.port} -www"
    pair = f"-cert {site.certificate} -key {site.key}"
    trust = f"-CAfile {site.bundles}/both.crt -Verify 4 -verify_return_error"
    return f"{command} {pair} {trust} -quiet".split()


def _ghostunnel(program: str, site: Site) -> Sequence[str]:
    return [
        *(program, "server", "--quiet=all"),
        *(f"--listen=127.0.0.1:{site.port}", f"--target=127.0.0.1:{site.application}"),
        *(f"--cert={site.certificate}", f"--key={site.key}"),
        f"--cacert={site.bundles}/both.crt",
        *(f"--allow-uri={each}**" for each in _EVERYBODY),
    ]


PROXIES: Final = (
    Proxy("sidecar", "", ("--version",), _sidecar, "a bundle for each trust domain"),
    Proxy(
        "Envoy, SPIFFE",
        "envoy",
        ("--version",),
        _envoy_spiffe,
        "`envoy.tls.cert_validator.spiffe`, a bundle for each trust domain, URI SANs "
        "matched by prefix",
    ),
    Proxy(
        "Envoy",
        "envoy",
        ("--version",),
        _envoy_roots,
        "`trusted_ca` with both roots, URI SANs matched by prefix",
    ),
    Proxy(
        "ghostunnel",
        "ghostunnel",
        ("--version",),
        _ghostunnel,
        "`--cacert` with both roots, `--allow-uri` for both trust domains",
    ),
    Proxy(
        "nginx",
        "nginx",
        ("-v",),
        _nginx,
        "`ssl_verify_client on`, `ssl_verify_depth 4`, both roots",
    ),
    Proxy("HAProxy", "haproxy", ("-v",), _haproxy, "`verify required`, both roots"),
    Proxy("stunnel", "stunnel", ("-version",), _stunnel, "`verifyChain`, both roots"),
    Proxy(
        "openssl",
        "openssl",
        ("version",),
        _openssl,
        "`s_server -Verify 4 -verify_return_error`, both roots",
    ),
)
"""Those that know SPIFFE first."""
