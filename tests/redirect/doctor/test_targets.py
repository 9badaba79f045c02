from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given, strategies as st

from sidecar.redirect.doctor.targets import (
    Route,
    Unreachable,
    captured,
    captured_port,
    interface_of,
    let_by,
    parse_ipv4_routes,
    parse_ipv6_routes,
)
from sidecar.redirect.model import Family, Network, Ports, Redirect
from sidecar.redirect.options import parse_options

ROUTE = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	01004D0A	0003	0	0	0	00000000	0	0	0
eth0	00004D0A	00000000	0001	0	0	0	00FFFFFF	0	0	0
*	0000A8C0	00000000	0201	0	0	0	0000FFFF	0	0	0
eth1	0000A8C0	00000000	0000	0	0	0	0000FFFF	0	0	0
eth1	0100A8C0	00000000	0001	0	0	0	0000FFFF	0	0	0
"""
IPV6_ROUTE = """\
fd770000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd770000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001       lo
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 00000400 00000003 00000000 80200001       lo
zz000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200001       lo
"""
DEFAULT4 = Route(IPv4Network("0.0.0.0/0"), "eth0")
NEAR4 = Route(IPv4Network("10.77.0.0/24"), "eth0")
DEFAULT6 = Route(IPv6Network("::/0"), "eth0")
NEAR6 = Route(IPv6Network("fd77::/64"), "eth0")
LINK6 = Route(IPv6Network("fe80::/64"), "eth0")
ALL = (DEFAULT4, NEAR4, DEFAULT6, NEAR6, LINK6)


def options(**given: str) -> Redirect:
    return parse_options(given, {}).redirect


def test_routes_are_read_and_those_that_reject_or_are_for_marks_are_none() -> None:
    assert list(parse_ipv4_routes(ROUTE)) == [DEFAULT4, NEAR4]
    assert list(parse_ipv6_routes(IPV6_ROUTE)) == [
        NEAR6,
        DEFAULT6,
        Route(IPv6Network("::1/128"), "lo"),
    ]


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    list(parse_ipv4_routes(text))
    list(parse_ipv6_routes(text))


@given(st.integers(0, len(IPV6_ROUTE)))
def test_a_text_that_ends_early_is_read(end: int) -> None:
    list(parse_ipv4_routes(ROUTE[:end]))
    list(parse_ipv6_routes(IPV6_ROUTE[:end]))


def test_the_narrowest_route_counts() -> None:
    routes = [DEFAULT4, Route(IPv4Network("10.0.0.0/8"), "net1"), DEFAULT6]
    assert interface_of(routes, ip_address("10.1.1.1")) == "net1"
    assert interface_of(routes, ip_address("192.0.2.1")) == "eth0"
    assert interface_of([], ip_address("192.0.2.1")) is None
    loopback = [Route(IPv4Network("127.0.0.0/8"), "lo")]
    assert interface_of(loopback, ip_address("127.0.0.1")) is None


@pytest.mark.parametrize(
    ("given", "family", "expected"),
    [
        ({}, Family.IPV4, "192.0.2.1:9"),
        ({}, Family.IPV6, "[2001:db8::1]:9"),
        ({"exclude_outbound_cidrs": "192.0.2.0/24"}, Family.IPV4, "198.51.100.1:9"),
        ({"exclude_outbound_cidrs": "192.0.2.0/28"}, Family.IPV4, "192.0.2.254:9"),
        (
            {"exclude_outbound_cidrs": "192.0.2.1,192.0.2.128/25,192.0.2.120/29"},
            Family.IPV4,
            "192.0.2.119:9",
        ),
        ({"include_outbound_cidrs": "10.0.0.0/8"}, Family.IPV4, "10.255.255.254:9"),
        ({"include_outbound_cidrs": "10.0.0.7"}, Family.IPV4, "10.0.0.7:9"),
        ({"include_outbound_cidrs": "10.0.0.0/8"}, Family.IPV6, "[2001:db8::1]:9"),
        ({"include_outbound_ports": "80,443"}, Family.IPV4, "192.0.2.1:80"),
        ({"exclude_outbound_ports": "1-65535"}, Family.IPV4, "every port"),
        ({"exclude_outbound_cidrs": "0.0.0.0/0"}, Family.IPV4, "every network"),
        ({"exclude_interfaces": "eth0"}, Family.IPV4, "no route leads out"),
    ],
)
def test_what_is_called_has_to_be_captured(
    given: dict[str, str], family: Family, expected: str
) -> None:
    target = captured(options(**given), family, ALL)
    if isinstance(target, Unreachable):
        assert expected in target.why
    else:
        assert str(target) == expected


def test_each_time_another_of_nobodys_addresses_is_called() -> None:
    def hosts(family: Family, **given: str) -> set[str]:
        found = [captured(options(**given), family, ALL, n) for n in range(300)]
        return {str(each) for each in found}

    assert len(hosts(Family.IPV4)) == 254
    assert hosts(Family.IPV4) <= {f"192.0.2.{n}:9" for n in range(1, 255)}
    assert len(hosts(Family.IPV6)) == 300
    # What is excluded among them is not called, and nor is anybody else's but one.
    excluded = hosts(Family.IPV4, exclude_outbound_cidrs="192.0.2.64/26")
    assert not excluded & {f"192.0.2.{n}:9" for n in range(64, 128)}
    assert len(excluded) == 190
    assert len(hosts(Family.IPV4, include_outbound_cidrs="10.0.0.0/8")) == 1
    by = {
        str(*let_by(options(exclude_outbound_ports="53"), Family.IPV4, ALL, n))
        for n in range(300)
    }
    assert len(by) == 254


def test_without_a_default_route_a_neighbour_is_called() -> None:
    assert str(captured(Redirect(), Family.IPV4, [NEAR4])) == "10.77.0.254:9"
    near = captured(Redirect(), Family.IPV6, [LINK6, NEAR6])
    assert str(near) == "[fd77::ffff:ffff:ffff:fffe]:9"


@pytest.mark.parametrize("network", ["fe80::/64", "ff00::/8", "fd00::8/126"])
def test_what_is_no_place_for_strangers_is_not_called(network: str) -> None:
    routes = [Route(ip_network(network), "eth0")]
    target = captured(Redirect(), Family.IPV6, routes)
    assert isinstance(target, Unreachable)
    assert target.by_nobody is (network != "fd00::8/126")


def test_what_is_let_by_is_called_once_for_each_kind() -> None:
    redirect = options(
        exclude_outbound_cidrs="10.9.0.0/16,10.8.0.0/16,169.254.169.254,fd09::/16",
        exclude_outbound_ports="53,80",
    )
    assert [str(each) for each in let_by(redirect, Family.IPV4, ALL)] == [
        "10.9.0.1:9",
        "192.0.2.1:53",
    ]
    assert [str(each) for each in let_by(redirect, Family.IPV6, ALL)] == [
        "[fd09::1]:9",
        "[2001:db8::1]:53",
    ]


def test_what_has_no_route_is_not_called() -> None:
    redirect = options(exclude_outbound_cidrs="10.9.0.0/16", exclude_outbound_ports="1")
    assert list(let_by(redirect, Family.IPV4, [])) == []
    assert list(let_by(Redirect(), Family.IPV4, ALL)) == []


def test_one_address_is_called_itself() -> None:
    redirect = options(exclude_outbound_cidrs="169.254.169.254")
    found = [str(each) for each in let_by(redirect, Family.IPV4, ALL)]
    assert found == ["169.254.169.254:9"]


numbers = st.integers(1, 30)
ports = st.builds(lambda a, b: f"{min(a, b)}-{max(a, b)}", numbers, numbers)


@given(st.lists(ports, max_size=4), st.lists(ports, max_size=4))
def test_a_port_is_found_where_there_is_one(
    included: list[str], excluded: list[str]
) -> None:
    read = parse_options(
        {"exclude_outbound_ports": ",".join(excluded)}, {}
    ).redirect.exclude_outbound_ports
    wide = tuple(Ports(*map(int, each.split("-"))) for each in included) or None
    redirect = Redirect(include_outbound_ports=wide, exclude_outbound_ports=read)

    def fits(port: int) -> bool:
        return any(
            p.first <= port <= p.last for p in wide or (Ports(1, 65535),)
        ) and not any(p.first <= port <= p.last for p in read)

    found = captured_port(redirect)
    assert found is None or fits(found)
    assert (found is None) is not any(fits(port) for port in range(1, 40))


subnets = st.builds(
    lambda at, length: ip_network((at & (0xFFFFFFFF << (32 - length)), length)),
    st.integers(0xC0000200, 0xC00002FF),
    st.integers(24, 32),
)


@given(st.lists(subnets, max_size=5))
def test_no_excluded_address_is_called(excluded: list[Network]) -> None:
    redirect = Redirect(
        include_outbound_cidrs=(IPv4Network("192.0.2.0/24"),),
        exclude_outbound_cidrs=tuple(excluded),
    )
    target = captured(redirect, Family.IPV4, ALL)
    if not isinstance(target, Unreachable):
        host = IPv4Address(target.host)
        assert host in IPv4Network("192.0.2.0/24")
        assert not any(host in each for each in excluded)
