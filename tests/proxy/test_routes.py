from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from sidecar.config.model import Outbound, OutboundDefault, Route, RouteMode
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.pattern import parse_pattern
from sidecar.proxy import routes
from sidecar.proxy.routes import RouteTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def to(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | str:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return text


def route(name: str, *where: str, ports: Iterable[int] | None = None) -> Route:
    return Route(
        name,
        tuple(map(to, where)),
        None if ports is None else frozenset(ports),
        RouteMode.PLAINTEXT,
    )


def table(
    *listed: Route, known: Mapping[str, tuple[str, ...]] | None = None
) -> RouteTable:
    names = known or {}
    return RouteTable(Outbound(routes=listed), lambda name: names.get(name, ()))


def found(
    routes: RouteTable, host: str, *addresses: str, port: int = 8080
) -> str | None:
    route = routes.find(host, addresses or (host,), port)
    return None if route is None else route.name


@pytest.mark.parametrize(
    ("network", "host", "matches"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("0.0.0.0/0", "192.0.2.1", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("::/0", "192.0.2.1", False),
        ("2001:db8::/32", "2001:db8:1::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "::ffff:11.1.2.3", False),
        ("::/0", "::ffff:10.1.2.3", False),
    ],
)
def test_an_address_takes_the_route_of_its_network(
    network: str, host: str, matches: bool
) -> None:
    assert found(table(route("r", network)), host) == ("r" if matches else None)


def test_the_first_route_that_matches_is_taken() -> None:
    routes = table(
        route("one", "10.0.0.1"),
        route("some", "10.0.0.0/24"),
        route("all", "0.0.0.0/0"),
        route("never", "10.0.0.1"),
    )
    assert found(routes, "10.0.0.1") == "one"
    assert found(routes, "10.0.0.2") == "some"
    assert found(routes, "10.0.1.1") == "all"


def test_a_route_may_be_of_some_ports_only() -> None:
    routes = table(
        route("web", "10.0.0.0/8", ports=[80, 443]),
        route("rest", "10.0.0.0/8", ports=[8080]),
    )
    assert found(routes, "10.0.0.1", port=443) == "web"
    assert found(routes, "10.0.0.1", port=8080) == "rest"
    assert found(routes, "10.0.0.1", port=22) is None


def test_a_name_takes_the_route_that_has_it_wherever_it_resolves_to() -> None:
    routes = table(
        route("network", "192.0.2.0/24"), route("api", "10.0.0.0/8", "api.shop.svc")
    )
    assert found(routes, "api.shop.svc", "203.0.113.1", "10.0.0.1") == "api"
    assert routes.find("api.shop.svc", (), 8080) is not None


def test_a_name_without_addresses_matches_no_network() -> None:
    assert table(route("all", "0.0.0.0/0", "::/0")).find("api", (), 8080) is None


def test_an_address_takes_the_route_of_a_name_that_resolves_to_it() -> None:
    routes = table(
        route("db", "db.shop.svc"),
        route("api", "cache.shop.svc", "api.shop.svc"),
        known={"api.shop.svc": ("10.0.0.1", "2001:db8::1")},
    )
    assert found(routes, "10.0.0.1") == "api"
    assert found(routes, "2001:db8::1") == "api"
    assert found(routes, "10.0.0.2") is None


@pytest.mark.parametrize(
    ("addresses", "taken"),
    [
        (("10.0.0.1",), "ten"),
        (("10.0.0.1", "10.0.0.2"), "ten"),
        (("192.0.2.1",), "other"),
        (("10.0.0.1", "192.0.2.1"), "either"),
        (("192.0.2.1", "10.0.0.1"), "either"),
        (("10.0.0.1", "203.0.113.1"), None),
        (("10.0.0.1", "198.51.100.7"), "either"),
    ],
)
def test_a_name_takes_a_route_of_networks_only_if_all_its_addresses_are_in_it(
    addresses: tuple[str, ...], taken: str | None
) -> None:
    routes = table(
        route("ten", "10.0.0.0/8"),
        route("other", "192.0.2.0/24"),
        route("either", "10.0.0.0/8", "192.0.2.0/24", "partner.test"),
        known={"partner.test": ("198.51.100.7",)},
    )
    assert found(routes, "api.shop.svc", *addresses) == taken


def test_a_route_comes_with_its_mode_and_its_peers() -> None:
    api = SpiffeId.parse("spiffe://example.org/ns/shop/sa/api")
    listed = Route(
        "api",
        (to("10.0.0.0/8"),),
        mode=RouteMode.MTLS,
        peers=(parse_pattern(str(api)),),
    )
    resolved = table(listed).find("10.0.0.1", ("10.0.0.1",), 80)
    assert resolved is not None
    assert (resolved.name, resolved.mode) == ("api", RouteMode.MTLS)
    assert resolved.peers.matches(api)
    assert not resolved.peers.matches(SpiffeId("example.org", "/ns/shop/sa/db"))
    assert not resolved.peers.matches(None)


@pytest.mark.parametrize("default", OutboundDefault)
def test_the_default_is_the_configured_one(default: OutboundDefault) -> None:
    assert RouteTable(Outbound(default=default), lambda _: ()).default is default


class Names:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ("10.0.0.1",)
        self.asked = 0

    def __call__(self, _name: str) -> tuple[str, ...]:
        self.asked += 1
        return self.addresses


def test_an_answer_is_remembered_until_it_is_told_to_forget() -> None:
    names = Names()
    routes = RouteTable(Outbound(routes=(route("api", "api.shop.svc"),)), names)
    assert [found(routes, "10.0.0.1") for _ in range(3)] == ["api"] * 3
    assert [found(routes, "10.0.0.2") for _ in range(3)] == [None] * 3
    assert names.asked == 2

    names.addresses = ("10.0.0.2",)
    routes.forget()
    assert found(routes, "10.0.0.1") is None
    assert found(routes, "10.0.0.2") == "api"


def test_a_route_by_name_is_found_again_when_the_name_has_moved() -> None:
    routes = table(
        route("first", "10.0.0.9"),
        route("api", "api.shop", ports=[8080]),
        route("by-address", "10.0.0.1"),
        route("rest", "10.0.0.0/8"),
        known={"api.shop": ("10.0.0.2",)},
    )

    def again(host: str, formerly: str, port: int = 8080) -> str | None:
        found = routes.find_again(host, (host,), port, formerly)
        return None if found is None else found.name

    assert found(routes, "10.0.0.3") == again("10.0.0.3", "gone") == "rest"
    assert again("10.0.0.3", "api") == "api"
    assert again("10.0.0.9", "api") == "first"  # which comes before it
    assert again("10.0.0.3", "api", port=9090) == "rest"
    assert again("10.0.0.3", "by-address") == "rest"
    assert again("11.0.0.1", "rest") is None
    assert found(routes, "10.0.0.3") == "rest"  # it is not remembered


def test_ports_are_remembered_apart() -> None:
    routes = table(route("web", "10.0.0.1", ports=[80]))
    assert found(routes, "10.0.0.1", port=80) == "web"
    assert found(routes, "10.0.0.1", port=81) is None


def test_however_many_destinations_there_are_the_memory_is_bounded() -> None:
    listed = table(route("all", "0.0.0.0/0", ports=range(1, 100, 2)))
    for port in range(2 * routes._REMEMBERED + 10):
        assert found(listed, "10.0.0.1", port=port) == (
            "all" if port < 100 and port % 2 else None
        )
        assert len(listed._found) <= routes._REMEMBERED


addresses = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str)
networks = st.sampled_from(
    ["10.0.0.0/8", "0.0.0.0/0", "0.0.0.0/1", "::/0", "8000::/1", "fe80::/10", "a", "b"]
)


@given(
    where=st.lists(st.lists(networks, min_size=1, max_size=3), max_size=4),
    known=st.dictionaries(
        st.sampled_from("ab"), st.lists(addresses, max_size=2).map(tuple)
    ),
    host=addresses,
)
def test_it_finds_what_asking_every_route_in_turn_would(
    where: list[list[str]], known: dict[str, tuple[str, ...]], host: str
) -> None:
    listed = [route(str(i), *each) for i, each in enumerate(where)]
    address = ipaddress.ip_address(host)
    plain = getattr(address, "ipv4_mapped", None) or address

    def leads(each: Route) -> bool:
        return any(
            host in known.get(one, ()) if isinstance(one, str) else plain in one
            for one in each.to
        )

    expected = next((each.name for each in listed if leads(each)), None)
    routes = table(*listed, known=known)
    assert found(routes, host) == expected
    assert found(routes, host) == expected
