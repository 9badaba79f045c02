"""The pods that the tests of this folder share, and what each is told to do."""

from __future__ import annotations

import secrets
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from tests.netns.pods import Application, Hub, Pod, PodSidecar
from tests.support.deadlines import eventually
from tests.support.pki import identity, new_authority, write_svid
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sidecar.certs.authority import Authority
    from sidecar.redirect.model import Backend
    from tests.support.pki import Pair
    from tests.support.sidecars import Record, Sidecar

API = "spiffe://example.org/ns/shop/sa/api"
FRONTEND = "spiffe://example.org/ns/shop/sa/frontend"

APP, SECOND = 8080, 8081
DENIED = 8082
"""The policy lets the frontend call every port but this."""
PERMISSIVE, GUARDED = 9090, 9091
"""Plaintext is let in by both, and by the policy at the first."""
PLAIN, CLOSED = 8083, 8084
"""Routes of the frontend lead to these of the stranger, in plaintext and not at all."""
MAIL, FILES, DATABASE, ECHO = 2525, 2121, 3306, 7777
"""Where tests let servers listen for a while; that of the database is permissive."""
EXCLUDED, EXCLUDED_IN, EXCLUDED_OUT = 9999, 9998, 9997
"""Redirected nowhere, not by those who are called, not by those who call."""

LOOPBACK = ("127.0.0.1", "::1")
SERVICES = ("10.96.0.10", "fd96::10")
"""Led to port 8080 of `api` by the node."""
NODE = ("10.78.0.1", "fd78::1")
"""The node's, in networks that the frontend's rules exclude."""
NODE_NETWORKS = "10.78.0.0/16,fd78::/64"

SERVED = {
    "api": (APP, SECOND, DENIED, PERMISSIVE, GUARDED, EXCLUDED, EXCLUDED_IN),
    "frontend": (APP, EXCLUDED_OUT),
    "stranger": (APP, PLAIN, CLOSED, EXCLUDED, EXCLUDED_OUT),
    "hostile": (),
}
FORGIVING = 0.25
"""How long the frontend's permissive ports wait for first bytes; the api's wait
longer than any test takes."""
PATIENT = 600


@frozen
class World:
    """Pods on one bridge: `api` and `frontend` with sidecars, two without.

    `stranger` means no harm; `hostile` has no application, but root.
    """

    hub: Hub
    pods: dict[str, Pod]
    api: PodSidecar
    frontend: PodSidecar
    applications: dict[tuple[str, int], Application]
    svid: Pair
    """The frontend's, in the hands of whoever calls."""
    authority: Authority
    """Which issued it, and those of all."""

    @property
    def stranger(self) -> Pod:
        return self.pods["stranger"]

    @property
    def hostile(self) -> Pod:
        return self.pods["hostile"]

    def reached(self, path: str) -> bool:
        """Whether any application was asked for *path*."""
        return any(path in each.reached for each in self.applications.values())


def marker() -> str:
    """Make a path that nobody has asked for yet, and that no noise contains."""
    return f"/{secrets.token_hex(20)}"


def last(sidecar: Sidecar, **facts: str) -> Record:
    """Give the last record that says so, when there is one."""

    def found() -> list[Record]:
        records = sidecar.access_records()
        return [each for each in records if facts.items() <= each.items()]

    return eventually(found, f"{sidecar.name} wrote a record of {facts}")[-1]


@contextmanager
def new_world(folder: Path, backend: Backend) -> Iterator[World]:
    authority = new_authority()
    with ExitStack() as stack:
        hub = Hub.new(stack)
        pods = {name: hub.pod(name) for name in SERVED}
        for version, address in zip(("-4", "-6"), NODE, strict=True):
            hub.space.ip(version, "address", "add", address, "dev", "lo")
        lead_services_to(hub, pods["api"], backend)
        redirect(pods, backend)
        served = [(name, port) for name, ports in SERVED.items() for port in ports]
        applications = {
            (name, port): pods[name].serve(stack, port) for name, port in served
        }
        node = Pod(hub.space.name, NODE)
        applications["node", APP] = node.serve(stack, APP)
        api, frontend = (
            stack.enter_context(
                PodSidecar(
                    pods[name],
                    folder,
                    {
                        "identity": identity(folder, own, authority),
                        **configuration(pods)[name],
                    },
                    policy(),
                    name,
                )
            )
            for name, own in (("api", API), ("frontend", FRONTEND))
        )
        svid = write_svid(folder, authority, FRONTEND, name="caller")
        yield World(hub, pods, api, frontend, applications, svid, authority)


def redirect(pods: dict[str, Pod], backend: Backend) -> None:
    for name, networks in (("api", ""), ("frontend", NODE_NETWORKS)):
        pods[name].redirect(
            "apply",
            *("--backend", backend),
            *("--exclude-inbound-ports", f"{EXCLUDED},{EXCLUDED_IN}"),
            *("--exclude-outbound-ports", f"{EXCLUDED},{EXCLUDED_OUT}"),
            *("--exclude-outbound-cidrs", networks),
        )


def configuration(pods: dict[str, Pod]) -> dict[str, dict[str, Any]]:
    """Say what each sidecar is told, but for who it is."""

    def route(name: str, peer: str, *more: str) -> dict[str, object]:
        to = [*pods[name].addresses, *more]
        return {"name": name, "to": to, "mode": "mtls", "peers": [peer]}

    def exception(name: str, port: int, mode: str) -> dict[str, object]:
        to = list(pods["stranger"].addresses)
        return {"name": name, "to": to, "ports": [port], "mode": mode}

    itself = route("api", API, *SERVICES)
    routes = [
        route("api", API, *SERVICES),
        exception("plain", PLAIN, "plaintext"),
        exception("closed", CLOSED, "deny"),
    ]
    return {
        "api": settings("plaintext", [itself, route("frontend", FRONTEND)], PATIENT),
        "frontend": settings("deny", routes, FORGIVING),
    }


def settings(
    default: str, routes: list[dict[str, object]], detect_seconds: float
) -> dict[str, Any]:
    original = {"destination": "original"}
    return {
        "inbound": {
            "listeners": [{"listen": "[::]:15006", **original}],
            "ports": {
                port: {"mode": "permissive"} for port in (PERMISSIVE, GUARDED, DATABASE)
            },
        },
        "outbound": {
            "listeners": [
                {"listen": "127.0.0.1:15001", **original},
                {"listen": "[::1]:15001", **original},
            ],
            "default": default,
            "routes": routes,
        },
        # Handshakes have time enough when a thousand begin at once.
        "limits": {"detect_seconds": detect_seconds, "handshake_seconds": 60},
        "admin": {"listen": "127.0.0.1:15000"},
        "telemetry": {"listen": "[::]:15020"},
    }


def policy() -> dict[str, object]:
    rules = [
        {"name": "shop", "action": "allow", "peers": [API, FRONTEND]},
        {"name": "not-here", "action": "deny", "peers": [FRONTEND], "ports": [DENIED]},
        {
            "name": "anybody",
            "action": "allow",
            "peers": ["unauthenticated"],
            "ports": [PERMISSIVE, DATABASE],
        },
    ]
    return {"default": "deny", "rules": rules}


def lead_services_to(hub: Hub, pod: Pod, backend: Backend) -> None:
    """Do on the node what kube-proxy does: DNAT, and SNAT for the way back."""
    folder = "/proc/sys/net"
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        hub.space.within(partial(write, f"{folder}/{name}", "1"))
    for program, service, address, to in (
        ("iptables", SERVICES[0], pod.addresses[0], f"{pod.addresses[0]}:{APP}"),
        ("ip6tables", SERVICES[1], pod.addresses[1], f"[{pod.addresses[1]}]:{APP}"),
    ):
        nat = (require(f"{program}-{backend}"), "-t", "nat", "-A")
        dnat = ("-d", service, "-p", "tcp", "-j", "DNAT", "--to-destination", to)
        hub.space.run(*nat, "PREROUTING", *dnat)
        itself = ("-s", address, "-d", address)
        hub.space.run(*nat, "POSTROUTING", *itself, "-j", "MASQUERADE")


def write(path: str, text: str) -> None:
    with open(path, "w") as file:  # noqa: PTH123
        file.write(text)
