from __future__ import annotations

from sidecar.redirect.doctor.facts import Aim
from tests.redirect.doctor.pods import HEALTHY, TPROXY


def test_a_healthy_pod_has_a_probe_of_each_kind_that_its_options_ask_for() -> None:
    assert {each.aim for each in TPROXY.probes} == set(Aim) - {Aim.EXCLUDED}
    assert {*TPROXY.probes} - {*HEALTHY.probes} == {
        each for each in TPROXY.probes if each.aim is Aim.ANSWER
    }
