from __future__ import annotations

import pytest
from attrs import evolve

from sidecar.config.model import Endpoint
from sidecar.redirect.doctor.facts import Aim, Facts, Fate, Probe, Service
from sidecar.redirect.doctor.finding import Check, Finding, Level
from sidecar.redirect.doctor.judge_probes import judge_probes, judge_services
from sidecar.redirect.doctor.sockets import LOOPBACK
from sidecar.redirect.model import Family
from tests.redirect.doctor.pods import (
    HEALTHY,
    SERVICE,
    TPROXY,
    accepted,
    listener,
    probe,
    with_probe,
)

V4 = Family.IPV4
DOWN = evolve(HEALTHY, sockets=())
SIDECAR = Endpoint("127.0.0.1", 15001)


def judge(made: Probe, facts: Facts = HEALTHY) -> Finding:
    """Judge the last probe; what is said of all comes after it."""
    found = list(judge_probes(with_probe(made, facts)))
    assert found[-1].level is Level.UNTESTED
    assert "cannot be tried from inside" in found[-1].what
    return found[-2]


def ended(aim: Aim, fate: Fate, at: Endpoint | None = None) -> Probe:
    return evolve(probe(aim, V4), fate=fate, at=None if at is None else accepted(at))


def test_all_is_well_in_a_healthy_pod() -> None:
    found = list(judge_probes(HEALTHY))[:-1]
    assert {each.level for each in found} == {Level.OK}
    assert [each.check for each in found] == [Check.CAPTURE, *[Check.BYPASS] * 3] * 2
    assert found[0].what == (
        "an application's connection to 192.0.2.1:9 was turned to 127.0.0.1:15001"
    )


@pytest.mark.parametrize(
    ("fate", "said"),
    [
        (Fate.LEFT, "left the pod, and not by the sidecar"),
        (Fate.ANSWERED, "was answered from outside the pod"),
        (Fate.REFUSED, "was refused from elsewhere"),
    ],
)
def test_what_is_not_captured_is_a_problem(fate: Fate, said: str) -> None:
    finding = judge(ended(Aim.CAPTURED, fate))
    assert finding.level is Level.PROBLEM
    assert said in finding.what


def test_what_somebody_else_captures_is_a_problem() -> None:
    at = Endpoint("127.0.0.1", 9999)
    finding = judge(ended(Aim.CAPTURED, Fate.ARRIVED, at))
    assert finding.level is Level.PROBLEM
    assert "127.0.0.1:9999, which is not the sidecar's port 15001" in finding.what


@pytest.mark.parametrize("aim", [Aim.CAPTURED, Aim.PROXY])
def test_where_nobody_listens_a_refusal_says_nothing(aim: Aim) -> None:
    finding = judge(ended(aim, Fate.REFUSED), DOWN)
    assert finding.level is Level.UNTESTED
    assert "as it is where nobody listens" in finding.what


def test_a_full_queue_is_no_hole() -> None:
    full = evolve(HEALTHY, sockets=(listener("127.0.0.1", 15001, waiting=128),))
    finding = judge(ended(Aim.CAPTURED, Fate.LEFT), full)
    assert finding.level is Level.UNTESTED
    assert "128 connections wait" in finding.what


@pytest.mark.parametrize("aim", [Aim.CAPTURED, Aim.PROXY])
def test_what_was_not_tried_is_said_not_to_be(aim: Aim) -> None:
    finding = judge(evolve(ended(aim, Fate.UNTRIED), why_not="no route"))
    assert finding.level is Level.UNTESTED
    assert finding.what.endswith("was not tried: no route")


def test_a_connection_without_its_destination_is_a_problem() -> None:
    made = evolve(ended(Aim.CAPTURED, Fate.ARRIVED, SIDECAR), stood_in=True)
    finding = judge(made)
    assert finding.level is Level.PROBLEM
    assert finding.what.endswith("or the kernel does not say where it was going")
    assert "filter rule" in finding.remedy
    other = judge(evolve(made, original=SIDECAR))
    assert other.what.endswith(
        "and the kernel says that it was going to 127.0.0.1:15001"
    )
    assert judge(evolve(made, original=made.target)).level is Level.OK


def test_the_sidecars_own_connection_that_comes_back_is_a_circle() -> None:
    finding = judge(ended(Aim.PROXY, Fate.ARRIVED, SIDECAR))
    assert finding.level is Level.PROBLEM
    assert "circles" in finding.why


def test_what_is_excluded_goes_past() -> None:
    for fate in (Fate.LEFT, Fate.ANSWERED, Fate.REFUSED):
        assert judge(ended(Aim.EXCLUDED, fate)).level is Level.OK
    finding = judge(ended(Aim.EXCLUDED, Fate.ARRIVED, SIDECAR))
    assert (finding.level, finding.why) == (
        Level.PROBLEM,
        "it was meant to go as it is",
    )


@pytest.mark.parametrize("aim", [Aim.LOOPBACK, Aim.OWN_ADDRESS])
def test_what_the_pod_sends_to_itself_arrives_there(aim: Aim) -> None:
    assert judge(probe(aim, V4)).level is Level.OK
    turned = judge(ended(aim, Fate.ARRIVED, SIDECAR))
    lost = judge(ended(aim, Fate.LEFT))
    assert turned.level is lost.level is Level.PROBLEM
    assert "was turned to 127.0.0.1:15001" in turned.what
    assert "did not arrive there" in lost.what


def test_a_service_keeps_its_address() -> None:
    (finding,) = judge_services(HEALTHY)
    assert finding.level is Level.OK


def test_a_service_that_is_a_pod_already_is_a_problem() -> None:
    hidden = Service(SERVICE, Endpoint("10.0.0.9", 6443))
    (finding,) = judge_services(evolve(HEALTHY, services=(hidden,)))
    assert finding.level is Level.PROBLEM
    assert "service 10.96.0.1:443 is one for 10.0.0.9:6443" in finding.what
    assert "socketLB.hostNamespaceOnly=true" in finding.remedy


def test_a_service_that_was_not_called_says_why() -> None:
    unknown = Service(SERVICE, None, "Network is unreachable")
    (finding,) = judge_services(evolve(HEALTHY, services=(unknown,)))
    assert finding.level is Level.UNTESTED
    assert finding.what == "10.96.0.1:443 was not called: Network is unreachable"


def test_without_a_service_it_says_how_to_name_one() -> None:
    (finding,) = judge_services(evolve(HEALTHY, services=()))
    assert finding.level is Level.UNTESTED
    assert "--service" in finding.remedy


@pytest.mark.parametrize("family", [*Family])
def test_without_the_address_of_loopback_what_is_captured_gets_nowhere(
    family: Family,
) -> None:
    probe = Probe(Aim.LOOPBACK, family, None, Fate.NOWHERE)
    finding = judge(probe)
    assert finding.level is Level.PROBLEM
    assert finding.what == f"the pod has no address {LOOPBACK[family]}"
    assert ("net.ipv6.conf.lo" in finding.remedy) is (family is Family.IPV6)


def test_the_answers_of_tproxy_are_for_somebody_else_to_judge() -> None:
    assert len(list(judge_probes(TPROXY))) == len(list(judge_probes(HEALTHY)))


def test_a_family_that_leads_nowhere_has_nothing_to_prove() -> None:
    probe = Probe(Aim.CAPTURED, Family.IPV6, None, Fate.NOWHERE, why_not="no way")
    finding = judge(probe)
    assert (finding.level, finding.family) == (Level.NOTE, None)
    assert finding.what == "over ipv6 there is nothing to capture: no way"
