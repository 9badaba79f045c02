"""Ensures that with TPROXY the application sees its callers, and nobody gets round."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from attrs import field, frozen

from tests.integration.callers import wrap
from tests.netns.greetings import MAIL_GREETING, Handler, Mail, Server, serving
from tests.netns.invitations import answers, invitation
from tests.netns.pods import SECONDS, Hub, Pod, PodSidecar
from tests.netns.test_hostile import not_for
from tests.netns.world import (
    API,
    APP,
    EXCLUDED,
    EXCLUDED_IN,
    FRONTEND,
    LOOPBACK,
    MAIL,
    PERMISSIVE,
    World,
    last,
)
from tests.support.pki import identity, new_authority, write_svid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sidecar.redirect.model import Backend
    from tests.netns.pods import Namespace
    from tests.support.pki import Pair

ANYBODY = 9092
"""Without TLS, and for whoever comes."""


class Callers(Handler):
    """Says who called, as soon as it is called, and then what it hears."""

    greeting = b""

    def handle(self) -> None:
        host, port = self.client_address[:2]
        self.wfile.write(f"{host.removeprefix('::ffff:')} {port}\n".encode())
        super().handle()

    def obey(self, command: str, rest: str) -> None:
        self.say(f"{command} {rest}")


@frozen
class Street:
    """`api` with a sidecar that TPROXY leads to, and `caller` without any."""

    hub: Hub
    api: Pod
    caller: Pod
    sidecar: PodSidecar
    svid: Pair
    """The frontend's, for the caller."""
    applications: dict[int, Server] = field(factory=dict)


class Transparent(PodSidecar):
    """A sidecar with the one capability that it takes."""

    def __init__(self, capability: str, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.command = [
            word.replace("+dac_read_search", f"+dac_read_search,{capability}")
            for word in self.command
        ]


def sidecar(
    pod: Pod, folder: Path, capability: str, *, ready: bool = True, **more: Any
) -> tuple[PodSidecar, Pair]:
    authority = new_authority()
    everybody = {"peers": ["unauthenticated"], "ports": [ANYBODY, PERMISSIVE]}
    rules = [
        {"name": "frontend", "action": "allow", "peers": [FRONTEND]},
        {"name": "everybody", "action": "allow", **everybody},
    ]
    inbound = {
        "listeners": [
            {"listen": "[::]:15006", "destination": "original", "transparent": True}
        ],
        "ports": {ANYBODY: {"mode": "disabled"}, PERMISSIVE: {"mode": "permissive"}},
    }
    original = {"destination": "original"}
    configuration = {
        "identity": identity(folder, API, authority),
        "inbound": inbound,
        "outbound": {
            "listeners": [
                {"listen": "127.0.0.1:15001", **original},
                {"listen": "[::1]:15001", **original},
            ],
            "default": "plaintext",
        },
        "limits": {"detect_seconds": 0.25},
        "admin": {"listen": "127.0.0.1:15000"},
        "telemetry": {"listen": "[::]:15020"},
        **more,
    }
    policy = {"default": "deny", "rules": rules}
    made = Transparent(capability, pod, folder, configuration, policy, "api")
    made._ready = ready
    return made, write_svid(folder, authority, FRONTEND, name="caller")


@contextmanager
def new_street(
    folder: Path, backend: Backend, capability: str = "+net_admin", **more: Any
) -> Iterator[Street]:
    with ExitStack() as stack:
        hub = Hub.new(stack)
        api, caller = hub.pod("api"), hub.pod("caller")
        words = ("--inbound-mode", "tproxy", "--backend", backend)
        api.redirect(
            "apply", *words, "--exclude-inbound-ports", f"{EXCLUDED},{EXCLUDED_IN}"
        )
        started, svid = sidecar(api, folder, capability, **more)
        served = {
            port: stack.enter_context(serving(api, port, Callers))
            for port in (APP, ANYBODY, PERMISSIVE, EXCLUDED)
        }
        yield Street(hub, api, caller, stack.enter_context(started), svid, served)


@pytest.fixture(scope="module")
def street(
    backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Street]:
    with new_street(tmp_path_factory.mktemp("street"), backend) as street:
        yield street


def line(sock: socket.socket) -> str:
    """Read a line, and no more."""
    heard = b""
    while not heard.endswith(b"\n"):
        heard += sock.recv(1)
    return heard.decode().strip()


@pytest.mark.parametrize("port", [ANYBODY, PERMISSIVE])
def test_the_application_sees_the_caller_s_address(
    street: Street, ipv6: bool, port: int
) -> None:
    host = street.api.addresses[ipv6]
    with street.caller.connect(host, port) as sock:
        seen, its_port = line(sock).split()
        name = sock.getsockname()[:2]
        sock.sendall(b"quit\n")
        assert line(sock) == "QUIT"
    assert seen == street.caller.addresses[ipv6] == name[0]
    # A port of the sidecar's choice: the caller's own is that of its connection.
    assert int(its_port) >= 61000
    source = f"[{name[0]}]:{name[1]}" if ipv6 else f"{name[0]}:{name[1]}"
    record = last(street.sidecar, source=source)
    assert record["outcome"] == "completed"
    there = f"[{host}]:{port}" if ipv6 else f"{host}:{port}"
    assert record["destination"] == record["upstream"] == there


def test_a_strict_port_takes_mutual_tls_and_no_less(street: Street, ipv6: bool) -> None:
    host, own = street.api.addresses[ipv6], street.caller.addresses[ipv6]
    called = street.applications[APP].called
    with street.caller.connect(host, APP) as sock:
        sock.sendall(b"hello\n")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert street.applications[APP].called == called
    with street.caller.connect(host, APP) as sock:
        connection = wrap(sock, street.svid)
        assert connection.recv(100).decode().split()[0] == own
        connection.sendall(b"quit\n")
        assert connection.recv(100) == b"QUIT \r\n"


def test_a_server_that_speaks_first_is_heard_at_once(
    street: Street, ipv6: bool
) -> None:
    host = street.api.addresses[ipv6]
    with (
        serving(street.api, MAIL, Mail),
        street.caller.connect(host, MAIL) as sock,
    ):
        assert wrap(sock, street.svid).recv(100) == MAIL_GREETING


def test_a_large_question_and_a_large_answer_arrive(street: Street, ipv6: bool) -> None:
    host, word = street.api.addresses[ipv6], b"a" * (1 << 20)
    with street.caller.connect(host, ANYBODY) as sock, sock.makefile("rb") as heard:
        heard.readline()
        sock.sendall(word + b"\n")
        assert heard.readline().strip() == word.upper()


def test_a_hundred_connections_of_one_caller_at_once(
    street: Street, ipv6: bool
) -> None:
    host = street.api.addresses[ipv6]
    with ExitStack() as stack:
        socks = [
            stack.enter_context(street.caller.connect(host, ANYBODY))
            for _ in range(100)
        ]
        seen = {line(sock) for sock in socks}
        assert len(seen) == 100
        for number, sock in enumerate(socks):
            sock.sendall(f"say {number}\n".encode())
        assert [line(sock) for sock in socks] == [f"SAY {n}" for n in range(100)]


def test_the_pod_talks_to_itself_as_ever(street: Street, ipv6: bool) -> None:
    before = street.sidecar.connections("inbound")
    for host in (LOOPBACK[ipv6], street.api.addresses[ipv6]):
        with street.api.connect(host, APP) as sock:
            assert line(sock).split()[0] == host
    assert street.sidecar.connections("inbound") == before


def test_the_pod_calls_others_through_its_sidecar(street: Street, ipv6: bool) -> None:
    host = street.caller.addresses[ipv6]
    with (
        serving(street.caller, APP, Callers),
        street.api.connect(host, APP) as sock,
    ):
        assert line(sock).split()[0] == street.api.addresses[ipv6]
        sock.sendall(b"quit\n")
        assert line(sock) == "QUIT"


def test_an_excluded_port_is_reached_past_the_sidecar(
    street: Street, ipv6: bool
) -> None:
    before = street.sidecar.connections("inbound")
    with street.caller.connect(street.api.addresses[ipv6], EXCLUDED) as sock:
        name = sock.getsockname()[:2]
        assert line(sock) == f"{name[0]} {name[1]}"
    assert street.sidecar.connections("inbound") == before


@pytest.mark.parametrize("port", [15006, 15001, 15000])
def test_the_sidecar_s_own_ports_lead_nowhere(
    street: Street, ipv6: bool, port: int
) -> None:
    for pod in (street.caller, street.api):
        host = street.api.addresses[ipv6]
        with suppress(ConnectionError), pod.connect(host, port) as sock:
            sock.sendall(b"hello\n")
            assert sock.recv(1) == b""
    if port == 15006:
        assert last(street.sidecar, outcome="loop")["detail"]


def test_what_is_not_for_the_pod_is_not_answered(street: Street, ipv6: bool) -> None:
    """As without TPROXY; and here, too, an honest invitation is."""
    before = street.sidecar.connections()
    world = World(
        hub=street.hub,
        pods={"hostile": street.caller},
        api=street.sidecar,
        frontend=street.sidecar,
        applications={},
        authority=new_authority(),
        svid=street.svid,
    )
    to = not_for(world, ipv6=ipv6) | {"another pod": street.caller.addresses[ipv6]}
    frames = {name: invitation(world, host) for name, host in to.items()}
    assert answers(world, frames) == {}
    assert street.sidecar.connections() == before


def test_a_live_connection_is_not_disturbed_by_one_of_the_same_ends(
    street: Street, ipv6: bool
) -> None:
    """Where a caller has those ports from which the sidecar calls the application."""
    host, own = street.api.addresses[ipv6], street.caller.addresses[ipv6]
    with ExitStack() as stack:
        socks = []
        for port in range(61000, 65536, 30):
            # Its own connection may find the place taken, too, and is not let in.
            with suppress(TimeoutError):
                connect = partial(
                    socket.create_connection, (host, ANYBODY), 0.3, (own, port)
                )
                socks.append(stack.enter_context(street.caller.within(connect)))
        assert len(socks) > 100
        for sock in socks:
            sock.settimeout(SECONDS)
            line(sock)
            sock.sendall(b"quit\n")
            assert line(sock) == "QUIT"


def test_while_the_sidecar_is_down_nobody_comes_in(
    backend: Backend, tmp_path: Path
) -> None:
    with new_street(tmp_path, backend) as street:
        assert street.sidecar.stop() == 0
        for host in street.api.addresses:
            with pytest.raises(TimeoutError):
                street.caller.within(
                    partial(socket.create_connection, (host, ANYBODY), 0.5)
                )
        assert not street.applications[ANYBODY].called


def test_without_the_capability_it_says_what_is_missing(
    space: Namespace, tmp_path: Path
) -> None:
    made, _ = sidecar(Pod(space.name), tmp_path, "-net_admin", ready=False)
    with made:
        assert made.wait() == 1
        assert made.errors().strip() == (
            f"{made.configuration_file}: inbound.listeners[0].listen: cannot listen there, transparent needs the "
            "capability net_admin or net_raw, got '[::]:15006'"
        )


def test_workers_are_as_transparent_and_the_lesser_capability_will_do(
    backend: Backend, tmp_path: Path
) -> None:
    with new_street(tmp_path, backend, "+net_raw", workers=2) as street:
        for host, own in zip(
            street.api.addresses, street.caller.addresses, strict=True
        ):
            for _ in range(10):
                with street.caller.connect(host, ANYBODY) as sock:
                    assert line(sock).split()[0] == own


def test_removing_leaves_nothing(space: Namespace, backend: Backend) -> None:
    before = state(space, backend)
    tproxy = ("--inbound-mode", "tproxy")
    said = space.redirect("apply", "--backend", backend, *tproxy)
    assert said == (
        "ipv4: the routing of answers in place\n"
        "ipv6: the routing of answers in place\n"
        f"ipv4 ({backend}): 16 rules in place\n"
        f"ipv6 ({backend}): 16 rules in place\n"
    )
    applied = state(space, backend)
    assert "fwmark 0x539/0xfff lookup 133" in applied
    said = space.redirect("apply", *tproxy)
    assert said.count("nothing to change, 16 rules") == len(said.splitlines()) == 2
    assert state(space, backend) == applied
    assert space.redirect("apply").count("10 rules in place") == 2
    assert "lookup 133" not in state(space, backend)
    assert "table 133" not in state(space, backend)
    space.redirect("apply", *tproxy)
    assert state(space, backend) == applied
    assert space.redirect("remove").count("removed") == 4
    assert state(space, backend) == before
    assert space.redirect("remove") == "nothing to remove\n"


def state(space: Namespace, backend: Backend) -> str:
    """Everything that `sidecar redirect` may change; tables that are empty count not."""
    rules = [line for line in space.rules(backend).splitlines() if line[:2] == "-A"]
    routing = [
        space.run("ip", family, *words)
        for family in ("-4", "-6")
        for words in (("rule", "show"), ("route", "show", "table", "all"))
    ]
    return "\n".join([*rules, *routing])
