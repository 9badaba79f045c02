from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from sidecar.redirect.doctor.finding import Level
from sidecar.redirect.doctor.judge_listeners import judge_listeners
from sidecar.redirect.model import Family, Ports
from tests.redirect.doctor.pods import HEALTHY, SOCKETS, TPROXY, listener

if TYPE_CHECKING:
    from sidecar.redirect.doctor.facts import Facts


def test_a_sidecar_that_listens_is_fine_in_both_families() -> None:
    found = list(judge_listeners(HEALTHY))
    assert [each.level for each in found] == [Level.OK] * 4
    assert [each.family for each in found] == [Family.IPV4] * 2 + [Family.IPV6] * 2


def test_without_ipv6_nobody_has_to_listen_there() -> None:
    sockets = (listener("127.0.0.1", 15001), listener("0.0.0.0", 15006))
    facts = evolve(HEALTHY, families=(Family.IPV4,), sockets=sockets)
    assert [each.level for each in judge_listeners(facts)] == [Level.OK] * 2


def test_a_sidecar_that_is_down_is_told() -> None:
    found = list(judge_listeners(evolve(HEALTHY, sockets=())))
    assert [each.level for each in found] == [Level.PROBLEM] * 4
    assert 'listen: "127.0.0.1:15001"' in found[0].remedy
    assert 'listen: "[::]:15006"' in found[1].remedy
    assert 'listen: "[::1]:15001"' in found[2].remedy


def test_a_sidecar_that_is_yet_to_be_started_is_no_problem() -> None:
    facts = evolve(HEALTHY, sockets=(), before_start=True)
    assert {each.level for each in judge_listeners(facts)} == {Level.NOTE}


def test_somebody_else_at_the_ports_is_told() -> None:
    thief = listener("::", 15001, uid=1000)
    found = list(judge_listeners(evolve(HEALTHY, sockets=(thief, *SOCKETS))))
    assert [each.level for each in found].count(Level.PROBLEM) == 2
    assert found[0].what.startswith("user 1000 listens at [::]:15001, where the rules")


def test_with_tproxy_the_sidecar_may_be_root() -> None:
    assert {each.level for each in judge_listeners(TPROXY)} == {Level.OK}
    found = list(judge_listeners(evolve(TPROXY, redirect=HEALTHY.redirect)))
    assert found[1].what.startswith("user 0 listens at [::]:15006")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            evolve(TPROXY, transparent=frozenset()),
            "[::]:15006 does not take what TPROXY hands over, and --inbound-mode is"
            " tproxy",
        ),
        (
            evolve(HEALTHY, transparent=frozenset({0})),
            "[::]:15006 takes what TPROXY hands over, and --inbound-mode is redirect",
        ),
    ],
)
def test_a_listener_that_tproxy_leads_to_in_vain_is_told(
    facts: Facts, said: str
) -> None:
    outbound, inbound, *_ = judge_listeners(facts)
    assert (outbound.level, inbound.level) == (Level.OK, Level.PROBLEM)
    assert inbound.what == said
    assert "`transparent: true`" in inbound.remedy


def test_where_the_kernel_does_not_tell_a_listener_is_taken_as_it_is() -> None:
    facts = evolve(TPROXY, transparent=None)
    assert {each.level for each in judge_listeners(facts)} == {Level.OK}


def test_who_listens_where_probes_are_let_by_is_told_once() -> None:
    stranger = listener("0.0.0.0", 15090, uid=1000), listener("::", 15090, uid=1000)
    loopback = listener("127.0.0.1", 15090, uid=1001)
    client = evolve(stranger[0], uid=1002, listens=False)
    facts = evolve(HEALTHY, sockets=(*SOCKETS, *stranger, loopback, client))
    assert {each.level for each in judge_listeners(facts)} == {Level.OK}
    redirect = evolve(facts.redirect, health_ports=(Ports(15020, 15090),))
    *_, found = judge_listeners(evolve(facts, redirect=redirect))
    assert (found.level, found.family) == (Level.PROBLEM, None)
    assert found.what.startswith("user 1000 listens at 0.0.0.0:15090, which --health-p")
    assert found.remedy.startswith("take 15090 out of --health-ports")
