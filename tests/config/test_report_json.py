from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.config.check import check
from sidecar.config.problems import ConfigError, Problem
from sidecar.config.report_json import report_value
from tests.config.authorities import NOW, write_workload
from tests.config.test_report import CONFIG, IDENTITY

if TYPE_CHECKING:
    from tests.config.conftest import Write

WITHOUT_NAMES = CONFIG.replace("  name_bundle: legacy.crt\n", "").replace(
    "[spiffe, subject, dns]", "[spiffe]"
)


def test_a_sound_configuration_is_a_value_that_json_can_carry(write: Write) -> None:
    rule = "{name: a, action: allow, peers: ['spiffe://example.org/*'], dry_run: true}"
    write(f"default: audit\nrules: [{rule}]", "policy.yaml")
    write_workload(Path())
    path = write(WITHOUT_NAMES)
    value = report_value(str(path), check(path, NOW))
    assert json.loads(json.dumps(value)) == {
        "file": "sidecar.yaml",
        "ok": True,
        "problems": [],
        "notes": [
            "sidecar.yaml:24: admin.listen: 0.0.0.0:15000 is reachable from other "
            "machines, and whoever reaches it may change state"
        ],
        "identity": {
            "name": "spiffe://example.org/ns/shop/sa/cart",
            "not_after": "2026-01-08T03:04:05+00:00",
            "accept": ["spiffe"],
            "trust_domains": ["example.org", "partner.test"],
            "bundles": {
                "example.org": {"roots": 1, "sequence": None, "refresh_hint": None},
                "partner.test": {"roots": 1, "sequence": None, "refresh_hint": None},
            },
            "workload_api": None,
            "hint": None,
            "additional": {},
        },
        "inbound": {
            "listeners": [
                {
                    "listen": "[::]:15006",
                    "destination": "original",
                    "transparent": True,
                },
                {
                    "listen": "0.0.0.0:8443",
                    "destination": "127.0.0.1:8080",
                    "transparent": False,
                },
            ],
            "mode": "strict",
            "ports": {
                "9090": {
                    "mode": "permissive",
                    "missing_certificate": "alert",
                    "identity": None,
                    "proxy_protocol": "none",
                },
                "8080": {
                    "mode": "strict",
                    "missing_certificate": "http-400",
                    "identity": None,
                    "proxy_protocol": "tls",
                },
                "8081": {
                    "mode": "strict",
                    "missing_certificate": "alert",
                    "identity": None,
                    "proxy_protocol": "addresses",
                },
            },
        },
        "policy": {
            "file": "policy.yaml",
            "default": "audit",
            "rules": 1,
            "dry_run": 1,
        },
        "outbound": {
            "listeners": [
                {
                    "listen": "127.0.0.1:15001",
                    "destination": "original",
                    "transparent": False,
                },
                {
                    "listen": "127.0.0.1:9000",
                    "destination": "api.shop.svc:8443",
                    "transparent": False,
                },
            ],
            "default": "deny",
            "routes": [
                {
                    "name": "api",
                    "mode": "mtls",
                    "to": ["10.0.0.0/8", "api.shop.svc"],
                    "ports": [8080, 8443],
                    "peers": ["spiffe://example.org/ns/shop/sa/api"],
                    "identity": None,
                },
                {
                    "name": "rest",
                    "mode": "plaintext",
                    "to": ["0.0.0.0/0"],
                    "ports": None,
                    "peers": [],
                    "identity": None,
                },
            ],
        },
        "admin": "0.0.0.0:15000",
        "telemetry": "0.0.0.0:15020",
    }


def test_no_policy_is_no_file(write: Write) -> None:
    write_workload(Path())
    path = write(
        IDENTITY + "outbound: {listeners: [{listen: '[::]:1', destination: original}]}"
    )
    value = report_value(str(path), check(path, NOW))
    assert value["policy"]["file"] is None
    assert value["policy"]["default"] == "deny"


def test_problems_keep_their_parts() -> None:
    problems = (
        Problem("inbound.mode", "missing", 3, "sidecar.yaml"),
        Problem("", "no such file", None, "policy.yaml"),
    )
    value = report_value("sidecar.yaml", ConfigError("sidecar.yaml", problems))
    assert json.loads(json.dumps(value)) == {
        "file": "sidecar.yaml",
        "ok": False,
        "problems": [
            {
                "file": "sidecar.yaml",
                "line": 3,
                "where": "inbound.mode",
                "what": "missing",
            },
            {"file": "policy.yaml", "line": None, "where": "", "what": "no such file"},
        ],
        "notes": [],
    }


def test_additional_identities_are_there_by_their_names(write: Write) -> None:
    write("rules: []", "policy.yaml")
    write_workload(Path())
    more = (
        "  additional: {billing: {certificate_chain: tls.crt, private_key: tls.key}}\n"
    )
    at = WITHOUT_NAMES.index("inbound:")
    path = write(WITHOUT_NAMES[:at] + more + WITHOUT_NAMES[at:])
    value = report_value(str(path), check(path, NOW))
    assert value["identity"]["additional"] == {
        "billing": {
            "name": "spiffe://example.org/ns/shop/sa/cart",
            "not_after": "2026-01-08T03:04:05+00:00",
            "hint": None,
        }
    }
    source = "{workload_api: 'unix:///s', additional: {billing: {hint: b}}}"
    path = write(f"identity: {source}\n{WITHOUT_NAMES[at:]}")
    value = report_value(str(path), check(path, NOW))
    assert value["identity"]["additional"] == {
        "billing": {"name": None, "not_after": None, "hint": "b"}
    }
