from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sidecar.redirect.model import InboundMode, Redirect
from sidecar.redirect.routing import Routing, parse_routing, steps, wanted_routing

TPROXY = wanted_routing(Redirect(inbound_mode=InboundMode.TPROXY))
NONE = wanted_routing(Redirect())

RULES = """\
0:	from all lookup local
15006:	from all fwmark 0x539/0xfff lookup 133
32766:	from all lookup main
"""
ROUTES = """\
default via 10.77.0.1 dev eth0
local default dev lo table 133 scope host
local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1
"""
ROUTES_6 = ROUTES.replace("scope host", "metric 1024 pref medium")


def test_only_tproxy_needs_any() -> None:
    assert (Routing(True, True), Routing()) == (TPROXY, NONE)
    assert bool(TPROXY)
    assert not bool(NONE)
    assert bool(Routing(rule=False, route=True))


@pytest.mark.parametrize("routes", [ROUTES, ROUTES_6])
def test_ours_is_found_among_others(routes: str) -> None:
    assert parse_routing(RULES, routes) == TPROXY
    assert parse_routing("", routes) == Routing(False, True)
    assert parse_routing(RULES, "") == Routing(True, False)


@pytest.mark.parametrize(
    ("rules", "routes"),
    [
        (RULES.replace("15006", "15007"), ROUTES.replace("133", "1337")),
        (RULES.replace("0x539/0xfff", "0x539"), ROUTES.replace("dev lo", "dev eth0")),
        (RULES.replace("lookup 133", "lookup 1337"), ROUTES.replace("local d", "d")),
        (RULES.replace("from all", "from 10.0.0.1"), ROUTES.replace("133", "13")),
    ],
)
def test_what_others_made_is_not_ours(rules: str, routes: str) -> None:
    assert parse_routing(rules, routes) == NONE


@given(st.text(), st.text())
def test_any_text_is_read(rules: str, routes: str) -> None:
    assert isinstance(parse_routing(rules, routes), Routing)


def test_the_route_is_there_before_the_rule_and_as_long() -> None:
    there, back = steps(NONE, TPROXY), steps(TPROXY, NONE)
    assert [each.do for each in there] == [
        "route add local default dev lo table 133",
        "rule add priority 15006 fwmark 0x539/0xfff lookup 133",
    ]
    assert [each.do for each in back] == [
        "rule del priority 15006 fwmark 0x539/0xfff lookup 133",
        "route del local default dev lo table 133",
    ]
    assert [each.back() for each in reversed(there)] == list(back)


some = st.builds(Routing, st.booleans(), st.booleans())


@given(some, some)
def test_steps_are_those_that_are_missing(before: Routing, after: Routing) -> None:
    changed = (before.rule != after.rule) + (before.route != after.route)
    assert len(steps(before, after)) == changed
