"""Ours, as its users run it: `sidecar run` with a configuration and a policy."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Final

from bench.ports import free_port
from bench.proxies.openssl_defaults import with_default
from bench.proxies.proxy import GROUP, Proxy
from sidecar import __version__

if TYPE_CHECKING:
    from bench.certificates import Workload
    from bench.proxies.proxy import Command, Site

POLICY: Final = "policy.yaml"


class Sidecar(Proxy):
    """This checkout, with the interpreter that runs the benchmark."""

    name = "sidecar"
    checks = "SPIFFE ID"
    workers: ClassVar[int] = 1
    """How many processes carry connections."""
    # Files that have changed in the second before a start, it reads once more, in case
    # they were being written. Nobody's are that new, but a benchmark's.
    settle_seconds = 1.2

    def version(self) -> str:
        return __version__

    def client(self, site: Site) -> Command:
        route = {
            "name": "bench",
            "to": ["127.0.0.1"],
            "ports": [site.dialled],
            "mode": "mtls",
            "peers": [site.certificates.server.spiffe_id],
        }
        outbound = {
            "listeners": [_listener(site.entry, site.dialled)],
            "routes": [route],
        }
        own = site.certificates.client
        return _command(
            site, "client", {**self._common(site, own), "outbound": outbound}
        )

    def server(self, site: Site) -> Command:
        self.write_policy(site)
        server = {
            **self._common(site, site.certificates.server),
            "inbound": {"listeners": [_listener(site.crossing, site.application)]},
            "policy": POLICY,
        }
        command = _command(site, "server", server)
        if site.setting.resumption:
            return command
        # It has no setting for that. Without tickets there is nothing to resume, and
        # they cost nothing: Envoy sends none either.
        return with_default(site, "NumTickets = 0", command)

    def write_policy(self, site: Site) -> None:
        """Write the policy of the server's side: it lets the client's side in."""
        rule = {
            "name": "bench",
            "action": "allow",
            "peers": [site.certificates.client.spiffe_id],
            "ports": [site.application],
        }
        site.write(POLICY, json.dumps({"default": "deny", "rules": [rule]}))

    def _common(self, site: Site, own: Workload) -> dict[str, Any]:
        return {
            "identity": {
                "certificate_chain": str(own.chain),
                "private_key": str(own.key),
                "trust_bundles": {"example.org": str(site.certificates.bundle)},
            },
            "tls": {"groups": [GROUP]},
            "workers": self.workers,
            "limits": {"connections": site.setting.connections + 64},
            # The others write no line for a connection either, unless it fails.
            "log": {"access": "failures"},
            "drain": {"deadline_seconds": 1},
            "admin": {"listen": f"127.0.0.1:{free_port()}"},
            "telemetry": {"listen": f"127.0.0.1:{free_port()}"},
        }


class TwoWorkers(Sidecar):
    """Ours with two processes on each side, and a supervisor over them."""

    name = "sidecar-2"
    workers = 2


def _listener(listen: int, destination: int) -> dict[str, str]:
    return {
        "listen": f"127.0.0.1:{listen}",
        "destination": f"127.0.0.1:{destination}",
    }


def _command(site: Site, side: str, configuration: dict[str, Any]) -> Command:
    text = json.dumps(configuration, indent=2)  # JSON is YAML
    path = site.write(f"sidecar-{side}.yaml", text)
    return [sys.executable, "-m", "sidecar", "run", "--config", path]
