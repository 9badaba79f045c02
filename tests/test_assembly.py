from __future__ import annotations

import re
import sys
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from prometheus_client import CollectorRegistry

from sidecar.assembly import (
    build_credentials,
    build_mesh,
    declare_labels,
    host_names,
    listeners_of,
    not_reloaded,
)
from sidecar.config.check import Checked
from sidecar.config.model import (
    ORIGINAL,
    AccessLevel,
    Config,
    Drain,
    Endpoint,
    Identity,
    Inbound,
    Limits,
    Listener,
    Log,
    Mode,
    Outbound,
    OutboundDefault,
    PortSettings,
    Route,
    RouteMode,
    Tls,
    UnixSocket,
)
from sidecar.config.problems import ConfigError
from sidecar.identity.svid import Svid
from sidecar.policy.model import Action, Policy, Rule
from sidecar.policy.pattern import parse_pattern
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.labels import Direction
from sidecar.telemetry.metrics import Metrics
from sidecar.tls.credentials import NoCredentials
from tests.support.mesh import material, svid
from tests.support.sidecars import Samples

PATH = Path("sidecar.yaml")


def checked(
    *rules: Rule,
    inbound: Inbound | None = None,
    outbound: Outbound | None = None,
    **others: Any,
) -> Checked:
    config = Config(Identity(), inbound or Inbound(), outbound or Outbound(), **others)
    return Checked(config, Policy(rules=rules), material(svid("api")), ())


def listener(host: str, port: int, to: Endpoint | None = None) -> Listener:
    return Listener(Endpoint(host, port), to or ORIGINAL)


def route(name: str, *to: str, mode: RouteMode = RouteMode.PLAINTEXT) -> Route:
    return Route(name, to, mode=mode)


# --- Credentials


def test_the_first_credentials_are_generation_one() -> None:
    assert build_credentials(PATH, checked()).generation == 1
    assert build_credentials(PATH, checked(), 7).generation == 7


def test_a_group_that_openssl_does_not_know_is_named_with_its_place() -> None:
    odd = checked(tls=Tls(groups=("X25519", "X25520")))
    with pytest.raises(ConfigError) as error:
        build_credentials(PATH, odd)
    assert error.value.source == "sidecar.yaml"
    (problem,) = error.value.problems
    assert problem.where == "tls.groups"
    assert "OpenSSL" in problem.what
    assert "'X25520'" in problem.what


# --- The mesh


def mesh_of(config: Checked) -> Any:
    metrics = Metrics(CollectorRegistry())
    log = AccessLog(1, AccessLevel.NONE, metrics.access_records_dropped)
    mesh = build_mesh(PATH, config, metrics, log)
    mesh.engine.close()
    return mesh


def weak_svid() -> Svid:
    """One whose key is shorter than OpenSSL takes."""
    weak = rsa.generate_private_key(65537, 1024)
    own = svid("api")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(own.leaf.subject)
        .issuer_name(own.leaf.issuer)
        .public_key(weak.public_key())
        .serial_number(1)
        .not_valid_before(own.leaf.not_valid_before_utc)
        .not_valid_after(own.leaf.not_valid_after_utc)
        .sign(weak, hashes.SHA256())
    )
    return Svid((certificate,), weak, own.name)


@pytest.mark.parametrize(
    ("identity", "key"),
    [
        (Identity(certificate_chain=PATH), "certificate_chain"),
        (Identity(workload_api="unix:///s"), "workload_api"),
    ],
)
def test_a_certificate_that_openssl_does_not_take_is_a_problem_of_its_source(
    identity: Identity, key: str
) -> None:
    mine = material(weak_svid())
    with pytest.raises(ConfigError) as caught:
        build_credentials(PATH, evolve(checked(), config=Config(identity)), 1, mine)
    (problem,) = caught.value.problems
    assert problem.where == f"identity.{key}"
    assert "does not take it: ee key too small" in problem.what


def test_an_additional_certificate_that_openssl_does_not_take_is_named() -> None:
    mine = evolve(material(svid("api")), additional={"billing": weak_svid()})
    for identity, key in (
        (Identity(certificate_chain=PATH), "certificate_chain"),
        (Identity(workload_api="unix:///s"), "hint"),
    ):
        with pytest.raises(ConfigError) as caught:
            build_credentials(PATH, evolve(checked(), config=Config(identity)), 1, mine)
        (problem,) = caught.value.problems
        assert problem.where == f"identity.additional.billing.{key}"


def test_without_material_there_are_no_credentials_yet_and_groups_are_checked() -> None:
    waiting = evolve(checked(), material=None)
    assert isinstance(build_credentials(PATH, waiting, 3), NoCredentials)
    wrong = evolve(checked(tls=Tls(groups=("P-25519",))), material=None)
    with pytest.raises(ConfigError, match="P-25519"):
        build_credentials(PATH, wrong)


def test_a_workload_api_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'sidecar[spire]'")):
        build_credentials(PATH, evolve(checked(), material=None))


def test_credentials_are_of_the_generation_that_is_asked_for() -> None:
    metrics = Metrics(CollectorRegistry())
    log = AccessLog(1, AccessLevel.NONE, metrics.access_records_dropped)
    mesh = build_mesh(PATH, checked(), metrics, log, 5)
    mesh.engine.close()
    assert mesh.credentials.generation == 5


def test_every_listener_of_ours_is_known_as_ours() -> None:
    everything = checked(
        inbound=Inbound((listener("127.0.0.1", 15006),)),
        outbound=Outbound((listener("::1", 15001), listener("127.0.0.1", 9000))),
        admin=Endpoint("127.0.0.1", 15000),
        telemetry=Endpoint("0.0.0.0", 15020),
    )
    own = mesh_of(everything).own
    for host, port in [
        ("127.0.0.1", 15006),
        ("::1", 15001),
        ("127.0.0.1", 9000),
        ("127.0.0.1", 15000),
        ("127.0.0.1", 15020),
        ("127.0.0.3", 15020),
    ]:
        assert own.cover(host, port), (host, port)
    assert not own.cover("127.0.0.1", 15021)
    assert not own.cover("192.0.2.1", 15020)


def test_an_admin_socket_in_the_file_system_is_no_address() -> None:
    own = mesh_of(checked(admin=UnixSocket(Path("admin.sock")))).own
    assert not own.cover("127.0.0.1", 15000)
    assert own.cover("127.0.0.1", 15020)


def test_both_directions_have_the_configured_number_of_handshakes() -> None:
    mesh = mesh_of(checked(limits=Limits(handshakes=3)))
    for gate in (mesh.inbound_gate, mesh.outbound_gate):
        assert gate._places.value == 3


async def test_a_name_that_moves_is_routed_anew() -> None:
    names = Names(["10.0.0.1"])
    trio.socket.set_custom_hostname_resolver(names)
    table = Outbound(routes=(route("api", "api.shop.svc"),))
    mesh = mesh_of(checked(outbound=table))
    await mesh.hosts.refresh()
    found = mesh.routes.find("10.0.0.1", ("10.0.0.1",), 80)
    assert found.name == "api"
    names.addresses = ["10.0.0.2"]
    await mesh.hosts.refresh()
    assert mesh.routes.find("10.0.0.1", ("10.0.0.1",), 80) is None
    assert mesh.routes.find("10.0.0.2", ("10.0.0.2",), 80).name == "api"


class Names(trio.abc.HostnameResolver):
    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses

    async def getaddrinfo(self, *_: Any, **__: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return [(2, 1, 6, "", (each, 0)) for each in self.addresses]

    async def getnameinfo(self, *_: Any) -> Any:
        raise NotImplementedError


# --- What a configuration comes to


def test_listeners_come_with_their_place_in_the_file() -> None:
    inbound, first, second = (listener("127.0.0.1", port) for port in (1, 2, 3))
    config = checked(
        inbound=Inbound((inbound,)), outbound=Outbound((first, second))
    ).config
    assert listeners_of(config) == [
        (Direction.INBOUND, inbound, "inbound.listeners[0]"),
        (Direction.OUTBOUND, first, "outbound.listeners[0]"),
        (Direction.OUTBOUND, second, "outbound.listeners[1]"),
    ]


def test_names_to_resolve_are_those_of_routes_and_of_fixed_destinations() -> None:
    network = IPv4Network("10.0.0.0/8")
    config = checked(
        inbound=Inbound((listener("127.0.0.1", 1, Endpoint("app.shop.svc", 80)),)),
        outbound=Outbound(
            (
                listener("127.0.0.1", 2),
                listener("127.0.0.1", 3, Endpoint("db.shop.svc", 5432)),
            ),
            routes=(Route("api", (network, "api.shop.svc")), route("x", "x.test")),
        ),
    ).config
    assert sorted(host_names(config)) == [
        "api.shop.svc",
        "app.shop.svc",
        "db.shop.svc",
        "x.test",
    ]


def rule(name: str, action: Action, *, dry_run: bool = False) -> Rule:
    pattern = parse_pattern("spiffe://example.org/**")
    return Rule(name, action, (pattern,), dry_run=dry_run)


def test_a_series_that_can_be_foreseen_is_shown_at_zero() -> None:
    metrics = Metrics(CollectorRegistry())
    ports = {
        80: PortSettings(Mode.PERMISSIVE),
        81: PortSettings(Mode.DISABLED),
        82: PortSettings(Mode.STRICT),
        83: PortSettings(),
    }
    declare_labels(
        checked(
            rule("front", Action.ALLOW),
            rule("never", Action.DENY),
            rule("trial", Action.ALLOW, dry_run=True),
            inbound=Inbound(ports=ports),
            outbound=Outbound(
                routes=(route("db", "db"), route("no", "no", mode=RouteMode.DENY))
            ),
        ),
        metrics,
    )
    samples = Samples.parse(metrics.render().decode())
    decisions = {
        tuple(labels[key] for key in ("direction", "rule", "decision"))
        for name, labels in series(samples)
        if name == "sidecar_policy_decisions_total" and labels["rule"] != "default"
    }
    assert decisions == {
        ("inbound", "front", "allow"),
        ("inbound", "never", "deny"),
        ("inbound", "trial", "dry_run_allow"),
        ("outbound", "db", "allow"),
        ("outbound", "no", "deny"),
    }
    plaintext = {
        (labels["direction"], labels["port"])
        for name, labels in series(samples)
        if name == "sidecar_plaintext_connections_total"
    }
    assert plaintext == {("inbound", "80"), ("inbound", "81")}
    assert samples["sidecar_policy_decisions_total"] == 0


def series(samples: Samples) -> list[tuple[str, dict[str, str]]]:
    return [(name, dict(labels)) for name, labels in samples.values]


LIMITS = Limits()


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        ({}, []),
        ({"admin": Endpoint("127.0.0.1", 1)}, ["admin"]),
        ({"telemetry": Endpoint("127.0.0.1", 1)}, ["telemetry"]),
        ({"workers": 2}, ["workers"]),
        ({"inbound": Inbound((listener("::", 1),))}, ["inbound.listeners"]),
        ({"outbound": Outbound((listener("::", 1),))}, ["outbound.listeners"]),
        ({"limits": evolve(LIMITS, connections=1, handshakes=1)}, []),
        ({"limits": evolve(LIMITS, idle_seconds=1.0)}, []),
        ({"inbound": Inbound(mode=Mode.DISABLED)}, []),
        ({"outbound": Outbound(default=OutboundDefault.PLAINTEXT)}, []),
        ({"drain": Drain(1.0), "log": Log(access=AccessLevel.NONE)}, []),
        ({"workers": 2, "admin": Endpoint("::1", 1)}, ["admin", "workers"]),
    ],
)
def test_what_waits_for_the_next_start_is_named(
    change: dict[str, Any], keys: list[str]
) -> None:
    before = Config(Identity())
    assert not_reloaded(before, evolve(before, **change)) == keys
