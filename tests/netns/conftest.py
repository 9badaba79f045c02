"""Which iptables there are, and two pods with a sidecar, one without."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

from sidecar.redirect.model import Backend
from tests.netns.pods import Application, Hub, Namespace, Pod, PodSidecar, need_root
from tests.support.pki import identity, new_authority, write_svid
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.pki import Pair

API = "spiffe://example.org/ns/shop/sa/api"
FRONTEND = "spiffe://example.org/ns/shop/sa/frontend"
APP, EXCLUDED = 8080, 9999
SERVICES = ("10.96.0.10", "fd96::10")


@pytest.fixture(scope="module")
def backends() -> list[Backend]:
    """Which backends this kernel has tables for; with none, the test fails."""
    need_root()
    require("iptables")
    found = []
    with Namespace.new() as space:
        for backend in (Backend.NFT, Backend.LEGACY):
            programs = [f"iptables-{backend}", f"ip6tables-{backend}"]
            try:
                for program in programs:
                    space.run(require(program), "-t", "nat", "-S")
            except AssertionError as error:
                print(f"no {backend} tables in this kernel: {error}")  # noqa: T201
            else:
                found.append(backend)
    if not found:
        pytest.fail("this kernel has neither nft nor legacy tables for iptables")
    return found


@pytest.fixture(scope="module", params=[Backend.NFT, Backend.LEGACY])
def backend(request: pytest.FixtureRequest, backends: list[Backend]) -> Backend:
    wanted: Backend = request.param
    if wanted not in backends:
        pytest.skip(f"this kernel has no {wanted} tables, and the others are tested")
    return wanted


@pytest.fixture
def space(backends: list[Backend]) -> Iterator[Namespace]:
    """An empty namespace."""
    assert backends
    with Namespace.new() as space:
        yield space


@frozen
class World:
    """Pods on one bridge: `api` and `frontend` with sidecars, `stranger` without.

    Each has an application on 8080, and on 9999, a port that is redirected nowhere.
    """

    hub: Hub
    api: PodSidecar
    frontend: PodSidecar
    stranger: Pod
    applications: dict[tuple[str, int], Application]
    svid: Pair
    """The frontend's, in the hands of whoever calls."""


@pytest.fixture(scope="module")
def world(
    backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("pods")
    authority = new_authority()
    with ExitStack() as stack:
        hub = Hub.new(stack)
        pods = {name: hub.pod(name) for name in ("api", "frontend", "stranger")}
        lead_services_to(hub, pods["api"], backend)
        for name in ("api", "frontend"):
            pods[name].redirect(
                "apply",
                *("--backend", backend),
                *("--exclude-inbound-ports", str(EXCLUDED)),
                *("--exclude-outbound-ports", str(EXCLUDED)),
            )
        applications = {
            (name, port): pod.serve(stack, port)
            for name, pod in pods.items()
            for port in (APP, EXCLUDED)
        }
        api, frontend = (
            stack.enter_context(
                PodSidecar(
                    pods[name],
                    folder,
                    {"identity": identity(folder, own, authority), **listeners(pods)},
                    policy(),
                    name,
                )
            )
            for name, own in (("api", API), ("frontend", FRONTEND))
        )
        svid = write_svid(folder, authority, FRONTEND, name="caller")
        yield World(hub, api, frontend, pods["stranger"], applications, svid)


def listeners(pods: dict[str, Pod]) -> dict[str, object]:
    original = {"destination": "original"}
    route = {
        "name": "api",
        "to": [*pods["api"].addresses, *SERVICES],
        "mode": "mtls",
        "peers": [API],
    }
    return {
        "inbound": {"listeners": [{"listen": "[::]:15006", **original}]},
        "outbound": {
            "listeners": [
                {"listen": "127.0.0.1:15001", **original},
                {"listen": "[::1]:15001", **original},
            ],
            "routes": [route],
        },
        "admin": {"listen": "127.0.0.1:15000"},
        "telemetry": {"listen": "[::]:15020"},
    }


def policy() -> dict[str, object]:
    rule = {"name": "shop", "action": "allow", "peers": [API, FRONTEND]}
    return {"default": "deny", "rules": [rule]}


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
