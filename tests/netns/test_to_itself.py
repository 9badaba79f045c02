"""Ensures that an application reaches itself: directly, or by mTLS with itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.integration.callers import record_of
from tests.netns.calling import name_of
from tests.netns.captures import at
from tests.netns.pods import ask
from tests.netns.world import API, APP, LOOPBACK, SECOND, SERVICES, last, marker
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.redirect.model import Backend
    from tests.netns.pods import Pod
    from tests.netns.world import World

LOCAL_SERVICES = ("10.96.0.77", "fd96::77")


@pytest.mark.parametrize("port", [APP, SECOND])
def test_by_the_addresses_of_its_pod_it_is_direct(
    world: World, ipv6: bool, port: int
) -> None:
    before, path = world.api.connections(), marker()
    with world.hub.capture("api") as seen:
        for host in (LOOPBACK[ipv6], world.api.pod.addresses[ipv6]):
            assert world.api.pod.ask(host, port, path) == f"{host} {port}"
        assert not seen.shows(path.encode())  # in plain, but within the pod
    assert world.api.connections() == before


def test_by_any_other_address_of_127_it_is_direct(world: World) -> None:
    before = world.api.connections()
    assert world.api.pod.ask("127.8.9.10", APP) == f"127.8.9.10 {APP}"
    assert world.api.connections() == before


def test_by_a_service_address_it_is_mtls_with_itself(world: World, ipv6: bool) -> None:
    own, service, path = world.api.pod.addresses[ipv6], SERVICES[ipv6], marker()
    before = world.api.connections()
    with world.hub.capture("api") as seen:
        with world.api.pod.connect(service, APP) as sock:
            source, answer = name_of(sock), ask(sock, path)
        outbound = record_of(world.api, source)
        assert answer == f"{own} {APP}"
        assert seen.shows(b"sidecar-mtls/1")
        assert not seen.shows(path.encode())
    assert (outbound["destination"], outbound["peer"]) == (at(service, APP), API)
    inbound = last(world.api, peer=API, destination=at(own, APP))
    assert inbound["outcome"] == "completed"
    assert world.api.connections() == before + 2  # out and in, and no circle


def test_by_a_service_address_that_the_pod_itself_translates_it_is_direct(
    world: World, backend: Backend, ipv6: bool
) -> None:
    """As kube-proxy does for who is in its own network: before our rules."""
    own, service = world.api.pod.addresses[ipv6], LOCAL_SERVICES[ipv6]
    before, path = world.api.connections(), marker()
    with (
        translation(world.api.pod, service, at(own, SECOND), backend),
        world.hub.capture("api") as seen,
    ):
        assert world.api.pod.ask(service, APP, path) == f"{own} {SECOND}"
        assert not seen.shows(path.encode())
    assert world.api.connections() == before


@contextmanager
def translation(pod: Pod, service: str, to: str, backend: Backend) -> Iterator[None]:
    program = "ip6tables" if ":" in service else "iptables"
    nat = (require(f"{program}-{backend}"), "-t", "nat")
    rule = ("-d", service, "-p", "tcp", "-j", "DNAT", "--to-destination", to)
    pod.run(*nat, "-I", "OUTPUT", "1", *rule)
    try:
        yield
    finally:
        pod.run(*nat, "-D", "OUTPUT", *rule)
