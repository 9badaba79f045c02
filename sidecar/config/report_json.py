"""What `sidecar check --json` says: its keys are public, scripts read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidecar.config.problems import ConfigError

if TYPE_CHECKING:
    from sidecar.config.check import Checked
    from sidecar.config.model import AdditionalIdentity, Inbound, Listener, Outbound
    from sidecar.identity.svid import Svid


def report_value(source: str, result: Checked | ConfigError) -> dict[str, Any]:
    """Give the result of a check as a value that JSON can carry."""
    if isinstance(result, ConfigError):
        problems = [
            {
                "file": each.source,
                "line": each.line,
                "where": each.where,
                "what": each.what,
            }
            for each in result.problems
        ]
        return {"file": source, "ok": False, "problems": problems, "notes": []}
    return {
        "file": source,
        "ok": True,
        "problems": [],
        "notes": list(result.notes),
        "identity": _identity_value(result),
        "inbound": _inbound_value(result.config.inbound),
        "policy": _policy_value(result),
        "outbound": _outbound_value(result.config.outbound),
        "admin": str(result.config.admin),
        "telemetry": str(result.config.telemetry),
    }


def _identity_value(checked: Checked) -> dict[str, Any]:
    material, identity = checked.material, checked.config.identity
    return {
        "name": material and str(material.svid.name),
        "not_after": material and material.svid.not_valid_after.isoformat(),
        "accept": sorted(map(str, identity.accept)),
        "trust_domains": material and sorted(material.bundles),
        "bundles": material
        and {
            name: {
                "roots": len(bundle.roots),
                "sequence": bundle.sequence,
                "refresh_hint": bundle.refresh_hint,
            }
            for name, bundle in material.bundles.items()
        },
        "workload_api": identity.workload_api,
        "hint": identity.hint,
        "additional": {
            name: _additional_value(
                each, None if material is None else material.additional[name]
            )
            for name, each in identity.additional.items()
        },
    }


def _additional_value(
    identity: AdditionalIdentity, svid: Svid | None
) -> dict[str, Any]:
    return {
        "name": svid and str(svid.name),
        "not_after": svid and svid.not_valid_after.isoformat(),
        "hint": identity.hint,
    }


def _inbound_value(inbound: Inbound) -> dict[str, Any]:
    ports = {
        str(port): {
            "mode": str(inbound.mode_of(port)),
            "missing_certificate": str(inbound.missing_certificate(port)),
            "identity": inbound.identity_of(port),
            "proxy_protocol": str(inbound.proxy_protocol(port)),
        }
        for port in inbound.ports
    }
    listeners = [_listener_value(listener) for listener in inbound.listeners]
    return {"listeners": listeners, "mode": str(inbound.mode), "ports": ports}


def _listener_value(listener: Listener) -> dict[str, Any]:
    return {
        "listen": str(listener.listen),
        "destination": str(listener.destination),
        "transparent": listener.transparent,
    }


def _policy_value(checked: Checked) -> dict[str, Any]:
    rules = checked.policy.rules
    return {
        "file": None if checked.config.policy is None else str(checked.config.policy),
        "default": str(checked.policy.default),
        "rules": len(rules),
        "dry_run": sum(rule.dry_run for rule in rules),
    }


def _outbound_value(outbound: Outbound) -> dict[str, Any]:
    return {
        "listeners": [_listener_value(listener) for listener in outbound.listeners],
        "default": str(outbound.default),
        "routes": [
            {
                "name": route.name,
                "mode": str(route.mode),
                "to": [str(to) for to in route.to],
                "ports": None if route.ports is None else sorted(route.ports),
                "peers": [str(peer) for peer in route.peers],
                "identity": route.identity,
            }
            for route in outbound.routes
        ],
    }
