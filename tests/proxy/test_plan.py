from __future__ import annotations

import ipaddress

import pytest

from sidecar.config.model import (
    Endpoint,
    Inbound,
    MissingCertificate,
    Mode,
    Outbound,
    OutboundDefault,
    PortSettings,
    Route,
    RouteMode,
)
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.pattern import parse_pattern
from sidecar.proxy.plan import (
    Detect,
    Originate,
    OwnEndpoints,
    PassThrough,
    Reject,
    Terminate,
    plan_inbound,
    plan_outbound,
)
from sidecar.proxy.routes import RouteTable
from sidecar.telemetry.labels import Outcome

NONE_OURS = OwnEndpoints((), lambda _: True)
API = "spiffe://example.org/ns/shop/sa/api"


def http_400(mode: Mode | None = None) -> PortSettings:
    return PortSettings(mode, MissingCertificate.HTTP_400)


@pytest.mark.parametrize(
    ("inbound", "plan"),
    [
        (Inbound(), Terminate(True)),
        (Inbound(mode=Mode.PERMISSIVE), Detect(Terminate(True))),
        (Inbound(mode=Mode.DISABLED), PassThrough()),
        (Inbound(ports={80: PortSettings(Mode.PERMISSIVE)}), Detect(Terminate(True))),
        (Inbound(ports={80: PortSettings(Mode.DISABLED)}), PassThrough()),
        (Inbound(ports={81: PortSettings(Mode.DISABLED)}), Terminate(True)),
        (
            Inbound(mode=Mode.DISABLED, ports={80: PortSettings(Mode.STRICT)}),
            Terminate(True),
        ),
        (Inbound(mode=Mode.DISABLED, ports={80: PortSettings()}), PassThrough()),
        (Inbound(ports={80: http_400()}), Terminate(False)),
        (Inbound(ports={81: http_400()}), Terminate(True)),
        (Inbound(ports={80: PortSettings(identity="b")}), Terminate(True, "b")),
        (Inbound(ports={81: PortSettings(identity="b")}), Terminate(True)),
        (Inbound(ports={80: http_400(Mode.PERMISSIVE)}), Detect(Terminate(False))),
        (Inbound(ports={80: http_400(Mode.DISABLED)}), PassThrough()),
    ],
)
def test_the_mode_of_the_port_decides(
    inbound: Inbound, plan: Terminate | Detect | PassThrough
) -> None:
    there = Endpoint("10.0.0.1", 80)
    assert plan_inbound(inbound, there, ("10.0.0.1",), NONE_OURS) == plan


def local(host: str) -> bool:
    return host in {"127.0.0.1", "10.0.0.5", "fd00::5"}


@pytest.mark.parametrize(
    ("listen", "host", "port", "ours"),
    [
        ("127.0.0.1", "127.0.0.1", 15001, True),
        ("127.0.0.1", "127.0.0.1", 15002, False),
        ("127.0.0.1", "10.0.0.5", 15001, False),
        ("10.0.0.5", "10.0.0.5", 15001, True),
        ("fd00::5", "fd00::5", 15001, True),
        ("0.0.0.0", "10.0.0.5", 15001, True),
        ("0.0.0.0", "127.0.0.1", 15001, True),
        ("0.0.0.0", "10.0.0.6", 15001, False),
        ("0.0.0.0", "10.0.0.5", 15002, False),
        ("::", "10.0.0.5", 15001, True),
        ("::", "fd00::5", 15001, True),
        ("::", "2001:db8::1", 15001, False),
        ("::", "fd00::5", 80, False),
    ],
)
def test_a_connection_to_a_listener_of_ours_would_come_back(
    listen: str, host: str, port: int, ours: bool
) -> None:
    own = OwnEndpoints((Endpoint(listen, 15001), Endpoint("127.0.0.1", 1)), local)
    assert own.cover(host, port) is ours


def test_the_kernel_is_asked_only_about_ports_of_wildcard_listeners() -> None:
    def asked(host: str) -> bool:
        raise AssertionError(host)

    own = OwnEndpoints((Endpoint("0.0.0.0", 15001), Endpoint("10.0.0.5", 80)), asked)
    assert own.cover("10.0.0.5", 80)
    assert not own.cover("10.0.0.6", 80)
    assert not own.cover("10.0.0.5", 443)


OWN = OwnEndpoints((Endpoint("127.0.0.1", 15001), Endpoint("0.0.0.0", 15020)), local)


@pytest.mark.parametrize(
    ("there", "addresses"),
    [
        (Endpoint("127.0.0.1", 15001), ("127.0.0.1",)),
        (Endpoint("10.0.0.5", 15020), ("10.0.0.5",)),
        (Endpoint("self.shop.svc", 15020), ("10.0.0.5",)),
        (Endpoint("self.shop.svc", 15001), ("192.0.2.1", "127.0.0.1")),
    ],
)
def test_a_loop_is_refused_in_both_directions(
    there: Endpoint, addresses: tuple[str, ...]
) -> None:
    everywhere = routes(Route("all", (there.host,), mode=RouteMode.PLAINTEXT))
    for plan in (
        plan_inbound(Inbound(mode=Mode.DISABLED), there, addresses, OWN),
        plan_outbound(everywhere, there, addresses, OWN),
    ):
        assert isinstance(plan, Reject)
        assert plan.outcome is Outcome.LOOP
        assert plan.rule is None


def routes(
    *listed: Route, default: OutboundDefault = OutboundDefault.DENY
) -> RouteTable:
    return RouteTable(Outbound(routes=listed, default=default), lambda _: ())


def ten(name: str, mode: RouteMode) -> Route:
    peers = (parse_pattern(API),) if mode is RouteMode.MTLS else ()
    network = ipaddress.ip_network("10.0.0.0/8")
    return Route(name, (network, "api.shop.svc"), mode=mode, peers=peers)


THERE = Endpoint("10.0.0.1", 8080)


def test_a_route_of_mtls_says_whom_to_expect() -> None:
    table = routes(ten("api", RouteMode.MTLS))
    plan = plan_outbound(table, THERE, ("10.0.0.1",), OWN)
    assert isinstance(plan, Originate)
    assert plan.rule == "api"
    assert plan.peers.matches(SpiffeId.parse(API))
    assert not plan.peers.matches(SpiffeId.parse(API + "2"))


@pytest.mark.parametrize(
    ("host", "addresses", "server_name"),
    [
        ("10.0.0.1", ("10.0.0.1",), None),
        ("api.shop.svc", ("10.0.0.1", "10.0.0.2"), "api.shop.svc"),
        ("api.shop.svc", (), "api.shop.svc"),
    ],
)
def test_only_names_are_sent_as_sni(
    host: str, addresses: tuple[str, ...], server_name: str | None
) -> None:
    """RFC 6066, 3: literal addresses are not permitted."""
    table = routes(ten("api", RouteMode.MTLS))
    plan = plan_outbound(table, Endpoint(host, 8080), addresses, OWN)
    assert isinstance(plan, Originate)
    assert plan.server_name == server_name


def test_a_route_of_plaintext_passes_on() -> None:
    table = routes(ten("legacy", RouteMode.PLAINTEXT))
    plan = plan_outbound(table, THERE, ("10.0.0.1",), OWN)
    assert plan == PassThrough("legacy")


def test_a_route_of_deny_refuses_and_is_named() -> None:
    table = routes(ten("no", RouteMode.DENY), default=OutboundDefault.PLAINTEXT)
    plan = plan_outbound(table, THERE, ("10.0.0.1",), OWN)
    assert plan == Reject(
        Outcome.DENIED, "the route 'no' denies 10.0.0.1:8080", rule="no"
    )


def test_the_route_of_a_connection_that_is_open_is_found_again() -> None:
    api = Route("api", ("api.shop",), None, RouteMode.MTLS, (parse_pattern(API),))
    table = routes(api, ten("rest", RouteMode.DENY))
    addresses = ("10.0.0.1",)
    assert isinstance(plan_outbound(table, THERE, addresses, OWN), Reject)
    again = plan_outbound(table, THERE, addresses, OWN, formerly="api")
    assert isinstance(again, Originate)
    assert again.rule == "api"
    same = plan_outbound(table, THERE, addresses, OWN, formerly="rest")
    assert isinstance(same, Reject)


def test_without_a_route_the_default_decides() -> None:
    there = Endpoint("192.0.2.1", 443)
    api = ten("api", RouteMode.MTLS)
    plan = plan_outbound(routes(api), there, ("192.0.2.1",), OWN)
    assert isinstance(plan, Reject)
    assert plan.outcome is Outcome.NO_ROUTE
    assert "192.0.2.1:443" in plan.detail
    open_ = routes(api, default=OutboundDefault.PLAINTEXT)
    assert plan_outbound(open_, there, ("192.0.2.1",), OWN) == PassThrough()
