from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from sidecar.config.model import Endpoint
from sidecar.redirect.doctor.answers import Answers
from sidecar.redirect.doctor.diagnosis import diagnose
from sidecar.redirect.doctor.facts import Aim, Facts, Fate, Probe, Service
from sidecar.redirect.doctor.processes import Process
from sidecar.redirect.doctor.report import report_lines, report_value
from sidecar.redirect.model import Backend, Family, Ports, Redirect
from sidecar.redirect.routing import Routing
from tests.redirect.doctor.pods import (
    HEALTHY,
    PROBES,
    PROCESSES,
    SERVICE,
    SOCKETS,
    TARGETS,
    TPROXY,
    listener,
    probe,
    tables,
    with_options,
    with_probe,
    with_rules,
)

if TYPE_CHECKING:
    from collections.abc import Callable

UID = (
    "-A SIDECAR_OUTBOUND -p tcp -m owner --uid-owner 1337 -m comment --comment"
    " sidecar/proxy-uid -j RETURN\n"
)


def all_left() -> tuple[Probe, ...]:
    return tuple(
        evolve(each, fate=Fate.LEFT, at=None) if each.aim is Aim.CAPTURED else each
        for each in PROBES
    )


CASES: dict[str, Facts] = {
    "healthy": HEALTHY,
    "before-start": evolve(
        HEALTHY,
        sockets=(),
        before_start=True,
        intent=None,
        services=(),
        probes=tuple(
            evolve(each, stood_in=True, original=each.target)
            if each.aim is Aim.CAPTURED
            else each
            for each in PROBES
        ),
    ),
    "without-root": evolve(
        HEALTHY,
        tables=(),
        tables_unseen="no permission to change iptables rules",
        probes=tuple(
            evolve(each, fate=Fate.UNTRIED, why_not="only root may take that user")
            if each.aim is Aim.PROXY
            else each
            for each in PROBES
        ),
    ),
    "nothing-applied": evolve(
        HEALTHY, tables=tables(Redirect(), empty=True), sockets=(), probes=all_left()
    ),
    "rules-changed": with_rules(HEALTHY, UID, ""),
    "sidecar-down": evolve(
        HEALTHY,
        sockets=(listener("::", 8080, uid=1000),),
        probes=tuple(
            evolve(each, fate=Fate.REFUSED, at=None)
            if each.aim is Aim.CAPTURED
            else each
            for each in PROBES
        ),
    ),
    "ipv6-open": with_probe(
        Probe(Aim.CAPTURED, Family.IPV6, TARGETS[Family.IPV6], Fate.LEFT),
        evolve(HEALTHY, tables=HEALTHY.tables[:1]),
    ),
    "tproxy": TPROXY,
    "tproxy-in-the-way": with_probe(
        evolve(probe(Aim.ANSWER, Family.IPV4), fate=Fate.LEFT),
        evolve(
            TPROXY,
            answers={
                Family.IPV4: Answers(
                    Routing(rule=True, route=True), ("100: from all lookup main",)
                ),
                Family.IPV6: "ip is not on the PATH: install iproute2",
            },
            transparent=frozenset(),
        ),
    ),
    "same-user": evolve(
        HEALTHY,
        processes=(*PROCESSES, Process(30, 0, "java", 1337, 1337, (), "/other")),
        sockets=(*SOCKETS, listener("::", 3306)),
    ),
    "excluded-port": with_options(Redirect(exclude_inbound_ports=(Ports(22, 22),))),
    "both-backends": evolve(
        HEALTHY, tables=(*HEALTHY.tables, *tables(Redirect(), Backend.LEGACY))
    ),
    "balanced-sockets": evolve(
        HEALTHY, services=(Service(SERVICE, Endpoint("10.0.0.9", 6443)),)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_report_is_the_one_agreed_on(
    name: str, golden: Callable[[str, str], None]
) -> None:
    lines = list(report_lines(diagnose(CASES[name])))
    golden(f"check-{name}.txt", "\n".join([*lines, ""]))
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize("name", CASES)
def test_json_says_the_same(name: str) -> None:
    diagnosis = diagnose(CASES[name])
    value = json.loads(json.dumps(report_value(diagnosis)))
    assert value["ok"] is (diagnosis.problems == 0)
    assert value["proven"] is diagnosis.proven
    assert len(value["findings"]) == len(list(report_lines(diagnosis))) - 1
    assert value["findings"][0].keys() == {
        "check",
        "level",
        "family",
        "what",
        "why",
        "remedy",
    }


def test_what_was_found_is_counted() -> None:
    last = [list(report_lines(diagnose(facts)))[-1] for facts in CASES.values()]
    assert last[:4] == [
        "no problem: what the pod sends is captured",
        "no problem: what the pod sends is captured",
        "no problem: what the pod sends is captured",
        "8 problems",
    ]
    assert "1 problem" in last


def test_what_is_not_proven_is_said_not_to_be() -> None:
    lines = list(report_lines(diagnose(evolve(HEALTHY, probes=()))))
    assert lines[-1].endswith("was not proven")
