from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import example, given, strategies as st

from sidecar.redirect import rules
from sidecar.redirect.model import Family, InboundMode, Ports, Redirect
from sidecar.redirect.options import parse_options
from tests.redirect.cases import PACKETS, rule_for

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("name", PACKETS)
def test_what_becomes_of_a_packet(
    name: str, golden: Callable[[str, str], None]
) -> None:
    packet = PACKETS[name]
    rule, mirrored = (rule_for(packet, Redirect(), family) for family in Family)
    assert (rule and (rule.why, rule.to_port)) == (
        mirrored and (mirrored.why, mirrored.to_port)
    )
    if rule is None:
        verdict = "no rule: as it is"
    elif rule.to_port is None:
        verdict = f"sidecar/{rule.why}: as it is"
    else:
        verdict = f"sidecar/{rule.why}: redirected to {rule.to_port}"
    golden(f"packet-{name}", f"# {packet.says}\n{verdict}\n")


TPROXY = Redirect(inbound_mode=InboundMode.TPROXY)


@pytest.mark.parametrize("name", [key for key in PACKETS if PACKETS[key].uid is None])
def test_with_tproxy_the_same_packets_come_to_the_sidecar(name: str) -> None:
    """But those that the kernel would take for answers, which redirection never saw."""
    packet = PACKETS[name]
    for family in Family:
        redirected = rule_for(packet, Redirect(), family)
        handed = rule_for(packet, TPROXY, family)
        assert (redirected and redirected.why) == (handed and handed.why)
        if handed is not None and handed.to_port:
            assert handed.handling is rules.Handling.TPROXY


def test_only_the_inbound_leg_and_what_answers_it_are_marked() -> None:
    into_another, leg, answer = rules.marks()
    assert into_another.handling is rules.Handling.DROP
    assert evolve(into_another, on_another=False, why=leg.why) == evolve(
        leg, handling=rules.Handling.DROP
    )
    assert (leg.out_interface, leg.foreign, leg.marked) == ("lo", True, False)
    assert (answer.marked, answer.answer, answer.foreign) == (True, True, False)


@pytest.mark.parametrize("change", [{"answer": True}, {"interface": "lo"}])
def test_with_tproxy_answers_and_what_stays_within_the_pod_pass(
    change: dict[str, Any],
) -> None:
    packet = evolve(PACKETS["another-pod-to-the-app"], **change)
    for family in Family:
        rule = rule_for(packet, TPROXY, family)
        assert rule is not None
        assert rule.handling is rules.Handling.PASS


ports = st.builds(
    lambda first, more: Ports(first, min(first + more, 65535)),
    st.integers(1, 65535),
    st.integers(0, 3),
)


@given(st.lists(ports, max_size=60))
@example([Ports(each, each) for each in range(1, 32)])
def test_no_rule_has_more_ports_than_multiport_takes(found: list[Ports]) -> None:
    redirect = Redirect(exclude_inbound_ports=tuple(found))
    listed = [
        r.ports
        for r in rules.inbound(redirect, Family.IPV4)
        if r.why == "excluded-port"
    ]
    assert [port for chunk in listed for port in chunk] == found
    for chunk in listed:
        assert 1 <= sum(1 if each.single else 2 for each in chunk) <= 15


def test_ipv6_mirrors_ipv4_where_no_network_is_named() -> None:
    redirect = parse_options({"exclude_outbound_ports": "1-5,7"}, {}).redirect
    ipv4, ipv6 = (rules.outbound(redirect, family) for family in Family)
    assert ipv4 == ipv6


def test_networks_go_to_their_family() -> None:
    redirect = parse_options(
        {"include_outbound_cidrs": "10.0.0.0/8,fd00::/8,fe80::/10"}, {}
    ).redirect
    found = {
        family: [
            str(rule.destination)
            for rule in rules.outbound(redirect, family)
            if rule.to_port
        ]
        for family in Family
    }
    assert found == {
        Family.IPV4: ["10.0.0.0/8"],
        Family.IPV6: ["fd00::/8", "fe80::/10"],
    }


def test_included_networks_of_one_family_leave_no_way_round_by_the_other() -> None:
    redirect = parse_options({"include_outbound_cidrs": "10.0.0.0/8"}, {}).redirect
    last = rules.outbound(redirect, Family.IPV6)[-1]
    assert (last.to_port, last.destination) == (15001, None)
