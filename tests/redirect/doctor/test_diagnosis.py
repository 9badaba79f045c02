from __future__ import annotations

from attrs import evolve

from sidecar.redirect.doctor.diagnosis import diagnose
from sidecar.redirect.doctor.facts import Aim, Fate, Probe
from sidecar.redirect.doctor.finding import Check, Level
from sidecar.redirect.model import Family
from tests.redirect.doctor.pods import HEALTHY, TPROXY, with_probe


def test_a_healthy_pod_has_no_problem_and_that_is_proven() -> None:
    diagnosis = diagnose(HEALTHY)
    assert diagnosis.problems == 0
    assert diagnosis.proven
    assert {each.check for each in diagnosis.findings} == {*Check} - {Check.ANSWER}
    diagnosis = diagnose(TPROXY)
    assert diagnosis.problems == 0, diagnosis
    assert diagnosis.proven
    assert {each.check for each in diagnosis.findings} == {*Check}


def test_without_a_probe_nothing_is_proven() -> None:
    diagnosis = diagnose(evolve(HEALTHY, probes=()))
    assert diagnosis.problems == 0
    assert not diagnosis.proven


def test_one_family_is_no_proof_of_both() -> None:
    untried = Probe(Aim.CAPTURED, Family.IPV6, None, Fate.UNTRIED, why_not="no route")
    assert not diagnose(with_probe(untried)).proven


def test_every_problem_counts() -> None:
    diagnosis = diagnose(evolve(HEALTHY, sockets=()))
    assert diagnosis.problems == 4


def test_what_is_ignored_is_only_noted() -> None:
    facts = evolve(HEALTHY, sockets=(), tables=HEALTHY.tables[:1])
    assert diagnose(facts).problems == 5
    diagnosis = diagnose(facts, {Check.LISTENER, Check.USER})
    assert diagnosis.problems == 1
    noted = [each.check for each in diagnosis.findings if each.level is Level.NOTE]
    assert noted == [Check.LISTENER] * 4


def test_what_leads_nowhere_need_not_be_proven_and_what_leads_somewhere_must() -> None:
    nowhere = Probe(Aim.CAPTURED, Family.IPV6, None, Fate.NOWHERE, why_not="no way")
    assert diagnose(with_probe(nowhere)).proven
    left = Probe(Aim.CAPTURED, Family.IPV4, None, Fate.LEFT)
    assert not diagnose(with_probe(left, with_probe(nowhere)), {Check.CAPTURE}).proven
    alone = evolve(HEALTHY, probes=(nowhere,))
    assert not diagnose(alone).proven
