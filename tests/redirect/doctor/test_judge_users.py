from __future__ import annotations

from pathlib import Path

from attrs import evolve

from sidecar.config.model import Endpoint, Listener, UnixSocket
from sidecar.policy.model import Policy
from sidecar.redirect.doctor.facts import Facts, Intent
from sidecar.redirect.doctor.finding import Finding, Level
from sidecar.redirect.doctor.judge_users import judge_users
from sidecar.redirect.doctor.processes import Process
from tests.redirect.doctor.pods import CONFIG, HEALTHY, PROCESSES, SOCKETS, listener

WITHOUT_CONFIG = evolve(HEALTHY, intent=None)
FIXED = Listener(Endpoint("0.0.0.0", 8443), Endpoint("127.0.0.1", 8080))


def judge(facts: Facts) -> Finding:
    (finding,) = judge_users(facts)
    return finding


def test_where_only_the_sidecar_has_its_user_all_is_well() -> None:
    for facts in (HEALTHY, WITHOUT_CONFIG):
        assert judge(facts).level is Level.OK
        assert "of 3 processes and 6 listening sockets" in judge(facts).what


def test_a_process_with_the_user_of_the_sidecar_is_named() -> None:
    java = Process(30, 0, "java", 1337, 1000, (), "/other")
    finding = judge(evolve(HEALTHY, processes=(*PROCESSES, java)))
    assert finding.level is Level.PROBLEM
    assert finding.what == "java (process 30) runs with the sidecar's user 1337"
    assert finding.remedy.endswith("securityContext.runAsUser")


def test_a_process_with_the_group_of_the_sidecar_is_named() -> None:
    java = Process(30, 0, "java", 1000, 1337, (), "/other")
    finding = judge(evolve(HEALTHY, processes=(*PROCESSES, java)))
    assert finding.what == "java (process 30) runs with the sidecar's group 1337"
    assert finding.remedy.endswith("securityContext.runAsGroup")


def test_a_listener_of_a_process_that_nobody_sees_is_named() -> None:
    sockets = (*SOCKETS, listener("::", 3306))
    finding = judge(evolve(HEALTHY, sockets=sockets))
    assert finding.level is Level.PROBLEM
    assert "somebody with the sidecar's user 1337 listens at [::]:3306" in finding.what
    assert "--config" not in finding.remedy
    finding = judge(evolve(WITHOUT_CONFIG, sockets=sockets))
    assert finding.level is Level.PROBLEM
    assert "--config" in finding.remedy


def test_on_loopback_it_may_be_the_sidecar_until_the_configuration_tells() -> None:
    sockets = (*SOCKETS, listener("127.0.0.1", 9000))
    assert judge(evolve(WITHOUT_CONFIG, sockets=sockets)).level is Level.NOTE
    assert judge(evolve(HEALTHY, sockets=sockets)).level is Level.PROBLEM


def test_the_sidecars_own_listeners_are_known_from_its_configuration() -> None:
    config = evolve(
        CONFIG,
        inbound=evolve(CONFIG.inbound, listeners=(*CONFIG.inbound.listeners, FIXED)),
        telemetry=Endpoint("::", 9090),
    )
    facts = evolve(
        HEALTHY,
        intent=Intent(config, Policy()),
        sockets=(listener("0.0.0.0", 8443), listener("::", 9090)),
    )
    assert judge(facts).level is Level.OK


def test_a_unix_socket_has_no_port() -> None:
    config = evolve(CONFIG, admin=UnixSocket(Path("/run/admin.sock")))
    facts = evolve(HEALTHY, intent=Intent(config, Policy()))
    assert judge(facts).what.endswith(
        "listens at 127.0.0.1:15000, which is none of the sidecar's addresses"
    )
