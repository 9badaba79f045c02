"""`--to` says what the plan of the data path says, and why."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from sidecar.config.model import (
    ORIGINAL,
    Config,
    Endpoint,
    Identity,
    Listener,
    NameKind,
    Outbound,
    OutboundDefault,
    Route,
    RouteMode,
)
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.pattern import parse_pattern
from sidecar.policytools.entry import Call, Refused
from sidecar.policytools.outbound import RouteEffect, Way, ways_to
from sidecar.proxy.plan import (
    Originate,
    OwnEndpoints,
    PassThrough,
    Reject,
    plan_outbound,
)
from sidecar.proxy.routes import RouteTable
from sidecar.telemetry.labels import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

API = "spiffe://example.org/ns/shop/sa/api"
API_PEER = SpiffeId.parse(API)
ANYWHERE = Endpoint("127.0.0.1", 15001)
REDIRECTED = Listener(ANYWHERE, ORIGINAL)
BUNDLES = {"example.org": Path("ca.crt")}
IDENTITY = Identity(Path("tls.crt"), Path("tls.key"), BUNDLES)


def route(name: str, *to: str, **others: Any) -> Route:
    targets = tuple(ip_network(each) if "/" in each else each for each in to)
    return evolve(Route(name, targets, None, peers=(parse_pattern(API),)), **others)


def config(*routes: Route, **others: Any) -> Config:
    outbound = evolve(Outbound((REDIRECTED,), routes=routes), **others)
    return Config(IDENTITY, outbound=outbound)


def way(
    made: Config,
    host: str,
    port: int = 80,
    names: Mapping[str, tuple[str, ...]] | None = None,
    server: Call | None = None,
) -> Way:
    (found,) = ways_to(made, Endpoint(host, port), names or {}, server)
    return found


HOSTS = ["a.test", "b.test", "c.test", "10.0.0.1", "10.1.0.1", "2001:db8::1"]
hosts = st.sampled_from(HOSTS)
ports = st.sampled_from([1, 2])
known = st.dictionaries(
    st.sampled_from(HOSTS[:3]),
    st.lists(st.sampled_from(HOSTS[3:]), min_size=1, max_size=2, unique=True).map(
        tuple
    ),
)
routes = st.lists(
    st.builds(
        route,
        st.just(""),
        st.sampled_from([*HOSTS[:3], "10.0.0.0/8", "10.0.0.1/32", "2001:db8::/32"]),
        st.sampled_from([*HOSTS[:3], "10.1.0.0/16"]),
        ports=st.none() | st.frozensets(ports, min_size=1),
        mode=st.sampled_from(RouteMode),
    ),
    max_size=4,
).map(lambda some: tuple(evolve(each, name=f"r{n}") for n, each in enumerate(some)))


@given(routes, hosts, ports, known, st.sampled_from(OutboundDefault))
def test_the_way_is_that_of_the_data_path(
    table: tuple[Route, ...],
    host: str,
    port: int,
    names: Mapping[str, tuple[str, ...]],
    default: OutboundDefault,
) -> None:
    fixed = Listener(ANYWHERE, Endpoint(host, port))
    made = config(*table, default=default, listeners=(fixed,))
    found = way(made, host, port, names)
    addresses = names.get(host, ()) if host.endswith(".test") else (host,)
    planned = plan_outbound(
        RouteTable(made.outbound, lambda name: names.get(name, ())),
        Endpoint(host, port),
        addresses,
        OwnEndpoints((), lambda _host: False),
    )
    assert found.plan.rule == planned.rule
    assert type(found.plan) is type(planned)
    assert found.allowed is not isinstance(planned, Reject)
    taken = [said.number for said in found.routes if said.effect is RouteEffect.TAKEN]
    leading = [s.number for s in found.routes if s.effect is not RouteEffect.MISSES]
    assert taken == leading[:1]
    assert found.route == (taken[0] if taken else None)
    for said in found.routes:
        assert bool(said.misses) is (said.effect is RouteEffect.MISSES)


def test_a_redirected_name_is_each_of_its_addresses() -> None:
    made = config(route("wide", "10.0.0.0/8"), route("named", "a.test"))
    names = {"a.test": ("10.0.0.1", "192.0.2.1")}
    found = ways_to(made, Endpoint("a.test", 80), names)
    assert [(str(each.destination), each.route) for each in found] == [
        ("10.0.0.1:80", 0),
        ("192.0.2.1:80", 1),
    ]


def test_a_fixed_destination_is_known_by_its_name() -> None:
    fixed = Listener(ANYWHERE, Endpoint("a.test", 80))
    made = config(route("named", "a.test"), listeners=(REDIRECTED, fixed))
    found = way(made, "a.test", names={"a.test": ("10.0.0.1", "10.0.0.2")})
    assert isinstance(found.plan, Originate)
    assert found.plan.server_name == "a.test"


def test_every_route_says_what_of_it_does_not_match() -> None:
    many = [f"10.{n}.0.0/16" for n in range(8)]
    made = config(
        route("net", *many, ports=frozenset({1, 2})),
        route("ok", "192.0.2.0/24"),
        route("too", "192.0.2.1/32"),
        route("port", "192.0.2.0/24", ports=frozenset({443})),
    )
    found = way(made, "192.0.2.1")
    listed = ", ".join(many[:5])
    assert [(said.effect, dict(said.misses)) for said in found.routes] == [
        (
            RouteEffect.MISSES,
            {"to": f"{listed} and 3 more, not 192.0.2.1", "ports": "1 or 2, not 80"},
        ),
        (RouteEffect.TAKEN, {}),
        (RouteEffect.LATER, {}),
        (RouteEffect.MISSES, {"ports": "443, not 80"}),
    ]


def test_where_nothing_leads_the_default_holds() -> None:
    denied = way(config(), "10.0.0.1")
    assert isinstance(denied.plan, Reject)
    assert (denied.plan.outcome, denied.allowed) == (Outcome.NO_ROUTE, False)
    open_ = way(config(default=OutboundDefault.PLAINTEXT), "10.0.0.1")
    assert (open_.plan, open_.allowed) == (PassThrough(), True)


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (Call(API_PEER, 80), None),
        (Call(API_PEER, 80, verified=True), None),
        (Call(None, 80), Reason.NO_CERTIFICATE),
        (
            Call(SpiffeId.parse("spiffe://other.test/a"), 80),
            Reason.UNKNOWN_TRUST_DOMAIN,
        ),
        (
            Call(API_PEER, 80, refused=Refused(Reason.EXPIRED, "expired")),
            Reason.EXPIRED,
        ),
    ],
)
def test_the_server_is_judged_as_in_the_handshake(
    server: Call, reason: Reason | None
) -> None:
    found = way(config(route("r", "10.0.0.0/8")), "10.0.0.1", server=server)
    assert (found.refused and found.refused.reason) == reason
    assert found.allowed is (reason is None)


def test_a_server_that_is_not_expected_is_told_why() -> None:
    other = Call(SpiffeId.parse("spiffe://example.org/ns/shop/sa/cart"), 80)
    found = way(config(route("r", "10.0.0.0/8")), "10.0.0.1", server=other)
    assert found.refused == Refused(
        Reason.UNEXPECTED_PEER,
        "spiffe://example.org/ns/shop/sa/cart is not one of the route's peers: it "
        "differs only in segment 4: 'api', not 'cart'",
    )


def test_nobody_is_checked_in_plaintext() -> None:
    made = config(route("r", "10.0.0.0/8", mode=RouteMode.PLAINTEXT, peers=()))
    other = Call(SpiffeId.parse("spiffe://other.test/a"), 80, notes=("a word",))
    found = way(made, "10.0.0.1", server=other)
    assert (found.refused, found.allowed) == (None, True)
    assert found.notes == ("a word",)


def test_only_accepted_names_of_a_server_count() -> None:
    made = config(route("r", "10.0.0.0/8"))
    by_dns = evolve(IDENTITY, accept=frozenset({NameKind.DNS}))
    server = Call(API_PEER, 80)
    found = way(evolve(made, identity=by_dns), "10.0.0.1", server=server)
    assert found.refused is not None
    assert found.refused.reason is Reason.NOT_AN_SVID


def test_what_depends_on_an_unknown_address_is_said() -> None:
    named = config(
        route("b", "b.test", ports=frozenset({443})),
        route("a", "a.test", "10.9.0.0/16"),
        route("all", "10.0.0.0/8"),
        route("late", "c.test"),
    )
    assert way(named, "10.0.0.1").notes == (
        "this holds if 10.0.0.1 is no address of a.test (say what is: --resolve "
        "a.test=ADDRESS)",
    )
    assert way(named, "10.0.0.1", names={"a.test": ("10.0.0.2",)}).notes == ()
    assert way(named, "c.test").notes == (
        "this holds if no network of an earlier route has c.test (say where it is: "
        "--resolve c.test=ADDRESS)",
    )
    assert way(named, "a.test").notes == ()


def test_where_no_listener_leads_that_is_said() -> None:
    fixed = Listener(ANYWHERE, Endpoint("a.test", 80))
    made = config(route("r", "a.test"), listeners=(fixed,))
    assert way(made, "a.test").notes == ()
    assert way(made, "a.test", 81).notes == (
        "no listener leads to a.test:81, only to a.test:80",
    )
    silent = config(route("r", "a.test"), listeners=())
    assert way(silent, "a.test").notes == (
        "outbound has no listeners: no connection of the application comes here",
    )
