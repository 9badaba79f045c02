"""Ensures that a neighbour with root gets nothing of a pod that is not for it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from tests.integration.callers import record_of
from tests.netns.calling import turned_away
from tests.netns.captures import ACK, SYN, at
from tests.netns.frames import mac_of, source_route
from tests.netns.invitations import answers, invitation
from tests.netns.world import API, APP, LOOPBACK, marker, write
from tests.support.pki import new_authority, write_svid
from tests.support.processes import Process
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sidecar.redirect.model import Backend
    from tests.netns.pods import Pod
    from tests.netns.world import World
    from tests.support.pki import Pair

BEYOND = ("203.0.113.7", "2001:db8::7")
"""Of nobody (RFC 5737, RFC 3849)."""


def not_for(world: World, *, ipv6: bool) -> dict[str, str]:
    """Give destinations that are not the api's, though its MAC address gets them."""
    shared = {
        "another pod": world.frontend.pod.addresses[ipv6],
        "nobody": BEYOND[ipv6],
        "loopback": LOOPBACK[ipv6],
    }
    if ipv6:
        mapped = {
            "loopback, mapped": "::ffff:127.0.0.1",
            "the pod, mapped": f"::ffff:{world.api.pod.addresses[0]}",
            "all nodes": "ff02::1",
        }
        return shared | mapped
    return shared | {
        "loopback, another": "127.0.0.9",
        "the network": "10.77.0.255",
        "the link": "255.255.255.255",
        "all hosts": "224.0.0.1",
        "this host": "0.0.0.0",
    }


def test_what_is_not_for_the_pod_is_not_answered(world: World, ipv6: bool) -> None:
    before = world.api.connections()
    to = not_for(world, ipv6=ipv6)
    frames = {name: invitation(world, host) for name, host in to.items()}
    assert answers(world, frames) == {}
    assert world.api.connections() == before


def test_without_the_rules_for_that_it_would_be(
    world: World, backend: Backend, ipv6: bool
) -> None:
    """And so the test above can fail."""
    to = not_for(world, ipv6=ipv6)
    frames = {name: invitation(world, host) for name, host in to.items()}
    with without_rule(world, backend, "not-for-this-pod", ipv6=ipv6):
        assert {"another pod", "nobody"} <= answers(world, frames).keys()


@pytest.mark.parametrize("ipv6", [False], ids=["ipv4"])  # IPv6 drops ::1 before
def test_without_the_rule_for_loopback_it_would_be(
    world: World, backend: Backend, ipv6: bool
) -> None:
    frames = {"loopback": invitation(world, LOOPBACK[ipv6])}
    with without_rule(world, backend, "loopback-from-outside", ipv6=ipv6):
        assert answers(world, frames) == {"loopback": SYN | ACK}


def test_the_sidecar_itself_carries_nothing_on_that_is_not_for_its_pod(
    world: World, backend: Backend, ipv6: bool
) -> None:
    """Should somebody take the rule away."""
    beyond = BEYOND[ipv6]
    with (
        without_rule(world, backend, "not-for-this-pod", ipv6=ipv6),
        by_way_of_the_api(world, beyond),
        world.hub.capture("api") as seen,
    ):
        source = turned_away(world.hostile, beyond, APP)
        record = record_of(world.api, source)
        assert at(beyond, APP) not in {
            each.destination
            for each in seen.segments()
            if each.sender == mac_of(world.api.pod)
        }
    assert (record["outcome"], "upstream" in record) == ("no_destination", False)


@pytest.mark.parametrize("ipv6", [False], ids=["ipv4"])  # IPv6 drops ::1 before
def test_nor_anything_to_what_listens_on_loopback(
    world: World, backend: Backend, ipv6: bool
) -> None:
    with (
        without_rule(world, backend, "loopback-from-outside", ipv6=ipv6),
        loopback_on_the_wire(world.hostile),
        by_way_of_the_api(world, "127.0.0.9"),
    ):
        source = turned_away(world.hostile, "127.0.0.9", APP)
        record = record_of(world.api, source)
    assert (record["outcome"], "upstream" in record) == ("no_destination", False)


@contextmanager
def by_way_of_the_api(world: World, host: str) -> Iterator[None]:
    """Have the hostile pod send what is for *host* to the api."""
    ipv6 = ":" in host
    route = (("-4", "-6")[ipv6], "route")
    world.hostile.ip(*route, "add", host, "via", own_address(world, ipv6))
    try:
        yield
    finally:
        world.hostile.ip(*route, "del", host)


@contextmanager
def loopback_on_the_wire(pod: Pod) -> Iterator[None]:
    """Make a kernel that sends and takes 127.0.0.0/8 over the wire."""
    switch = "/proc/sys/net/ipv4/conf/all/route_localnet"
    local = ("local", "127.0.0.0/8", "dev", "lo", "table", "local")
    pod.within(lambda: write(switch, "1"))
    pod.ip("route", "del", *local)
    try:
        yield
    finally:
        pod.ip("route", "add", *local)
        pod.within(lambda: write(switch, "0"))


def own_address(world: World, ipv6: bool) -> str:
    return world.api.pod.addresses[ipv6]


@contextmanager
def without_rule(
    world: World, backend: Backend, why: str, *, ipv6: bool
) -> Iterator[None]:
    """Take one of our rules from the api, and put it back where it was."""
    program = require(f"{('iptables', 'ip6tables')[ipv6]}-{backend}")
    chain = (program, "-t", "nat")
    pod = world.api.pod
    rules = pod.run(*chain, "-S", "SIDECAR_INBOUND").splitlines()[1:]
    number = next(n for n, rule in enumerate(rules, 1) if f"sidecar/{why}" in rule)
    pod.run(*chain, "-D", "SIDECAR_INBOUND", str(number))
    try:
        yield
    finally:
        rule = rules[number - 1].replace('"', "").split()[2:]
        pod.run(*chain, "-I", "SIDECAR_INBOUND", str(number), *rule)
        assert pod.run(*chain, "-S", "SIDECAR_INBOUND").splitlines()[1:] == rules


def test_nobody_says_by_way_of_whom_it_goes_on(world: World, ipv6: bool) -> None:
    """A source route to another pod; neither answered nor passed on."""
    order = source_route(world.frontend.pod.addresses[ipv6])
    frame = evolve(invitation(world, own_address(world, ipv6)), extra=order)
    assert answers(world, {"source route": frame}) == {}


@pytest.mark.parametrize("forged", [True, False], ids=["forged", "of another"])
def test_who_takes_the_address_of_another_gets_nothing(
    world: World, ipv6: bool, forged: bool, tmp_path: Path
) -> None:
    """The frontend's own card is led to the hostile pod, as by a forged ARP answer.

    It shows a certificate of the api that an authority of its own signed, or a sound
    one that is another's.
    """
    host, path = own_address(world, ipv6), marker()
    svid = write_svid(tmp_path, new_authority(), API) if forged else world.svid
    with (
        impostor(world, host),
        server(world.hostile, svid, tmp_path),
        world.hub.capture("hostile") as seen,
    ):
        source = turned_away(world.frontend.pod, host, APP, path)
        record = record_of(world.frontend, source)
        assert seen.shows(b"sidecar-mtls/1")  # it came that far
        assert not seen.shows(path.encode())
    reason = "untrusted_chain" if forged else "unexpected_peer"
    assert (record["outcome"], record["reason"]) == ("handshake_failed", reason)


@contextmanager
def impostor(world: World, host: str) -> Iterator[None]:
    hostile, frontend = world.hostile, world.frontend.pod
    length = "128" if ":" in host else "32"
    caller = frontend.addresses[":" in host]
    with ExitStack() as stack:

        def leads(pod: Pod, address: str, to: Pod) -> None:
            mac = mac_of(to).hex(":")
            pod.ip("neigh", "replace", address, "lladdr", mac, "dev", "eth0")
            stack.callback(pod.ip, "neigh", "del", address, "dev", "eth0")

        hostile.ip("address", "add", f"{host}/{length}", "dev", "lo")
        stack.callback(hostile.ip, "address", "del", f"{host}/{length}", "dev", "lo")
        leads(frontend, host, hostile)
        # It asks nobody for the way back, and so confuses nobody else.
        leads(hostile, caller, frontend)
        yield


@contextmanager
def server(pod: Pod, svid: Pair, folder: Path) -> Iterator[None]:
    key = ("-key", svid.private_key, "-cert", svid.certificate_chain)
    chain = ("-cert_chain", svid.certificate_chain, "-no_ticket", "-www")
    words = (require("openssl"), "s_server", "-accept", f"*:{APP}", *key, *chain)
    with Process(pod.command(*words), folder, "s_server") as process:
        process.wait_for_line("ACCEPT")
        yield
