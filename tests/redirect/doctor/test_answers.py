from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sidecar.redirect.doctor.answers import Answers, parse_answers
from sidecar.redirect.routing import Routing

OURS = "15006:\tfrom all fwmark 0x539/0xfff lookup 133"
RULES = f"0:\tfrom all lookup local\n{OURS}\n32766:\tfrom all lookup main\n"
ROUTES = """\
default via 10.77.0.1 dev eth0
10.9.0.0/16 via 10.77.0.2 dev eth0 table 200
local default dev lo table 133 scope host
local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1
"""
THERE = Routing(rule=True, route=True)


def test_where_nobody_else_is_there_nothing_is_in_the_way() -> None:
    assert parse_answers(RULES, ROUTES) == Answers(THERE)
    assert parse_answers("", "") == Answers(Routing())


@pytest.mark.parametrize(
    "rule",
    [
        "from all lookup main",
        "from all lookup 200",
        "from 10.77.0.5 lookup 200",
        "from all to 10.9.0.0/16 lookup main",
        "not from all fwmark 0xca6c lookup 51820",
        "from all fwmark 0x539 lookup 200",
        "from all fwmark 0x500/0xf00 lookup 200",
        "from all fwmark 0/0x2 lookup 200",
        "from all fwmark rubbish lookup 200",
        "from all iif lo lookup 200",
        "from 10.0.0.0/8 blackhole",
        "from all goto 32766",
    ],
)
def test_a_rule_that_comes_first_may_take_an_answer(rule: str) -> None:
    found = parse_answers(f"100:\t{rule}\n{RULES}", ROUTES)
    assert found.ahead == (f"100: {rule}",)
    assert parse_answers(f"{RULES}20000:\t{rule}\n", ROUTES).ahead == ()


@pytest.mark.parametrize(
    "rule",
    [
        "from all lookup local",
        "from all lookup 201",  # which has no route
        "from all iif eth0 lookup 200",
        "from all oif eth1 lookup 200",
        "from all fwmark 0x1 lookup 200",
        "from all fwmark 0x80/0x80 lookup 200",
        "from all nop",
    ],
)
def test_others_take_none(rule: str) -> None:
    assert parse_answers(f"100:\t{rule}\n{RULES}", ROUTES).ahead == ()


@pytest.mark.parametrize(
    "route",
    ["10.0.0.0/8 dev eth0 table 133", "default via 10.77.0.1 dev eth0 table 133"],
)
def test_a_route_of_others_in_our_table_is_found(route: str) -> None:
    assert parse_answers(RULES, ROUTES + route).beside == (route,)
    assert parse_answers(RULES, ROUTES + route.replace("133", "13")).beside == ()


@given(st.text(), st.text())
def test_any_text_is_read(rules: str, routes: str) -> None:
    parse_answers(rules, routes)
    parse_answers(f"7: {rules}", f"{routes} table")
