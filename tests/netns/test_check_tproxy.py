"""Ensures that `sidecar redirect check` finds what keeps TPROXY from working."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.netns.pods import PROXY
from tests.netns.test_check import (
    FAMILIES,
    Report,
    as_user,
    change,
    check,
    make_patient,
    somebody,
)
from tests.netns.test_transparent import new_street
from tests.support.programs import require

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.redirect.model import Backend
    from tests.netns.pods import Namespace

TPROXY = ("--inbound-mode", "tproxy")
ANSWERS = "the routing of answers"
ROUTE = ("local", "default", "dev", "lo", "table", "133")


@pytest.fixture
def patient(space: Namespace, backends: list[Backend]) -> Namespace:
    """A pod with the rules and the routing, and no sidecar yet."""
    make_patient(space)
    space.redirect("apply", "--backend", backends[0], *TPROXY)
    return space


def look(pod: Namespace, *words: str | Path) -> Report:
    return check(pod, "--before-start", *TPROXY, *words)


def test_applying_ends_with_a_call_that_the_init_container_may_make(
    space: Namespace, backend: Backend
) -> None:
    make_patient(space)
    bound = ("--bounding-set", "-all,+net_admin,+net_raw", "--inh-caps", "-all")
    apply = (sys.executable, "-m", "sidecar", "redirect", "apply", "--check", *TPROXY)
    said = space.run(require("setpriv"), *bound, *apply, "--backend", backend)
    assert said.count("was answered in the pod") == 2
    assert said.count(f"{ANSWERS} is in place") == 2
    assert said.endswith("no problem: what the pod sends is captured\n")


def test_without_permission_the_routing_is_read_all_the_same(
    patient: Namespace,
) -> None:
    report = check(patient, "--before-start", *TPROXY, through=as_user("1000"))
    assert report.ok, report
    assert "not permitted" in report.said("untested", "answer")[0]
    assert report.said("ok", "answer") == [f"{ANSWERS} is in place"] * 2


def test_routing_that_is_lacking_is_named(patient: Namespace) -> None:
    for version in ("-4", "-6"):
        patient.ip(version, "rule", "del", "priority", "15006")
    patient.ip("-6", "route", "del", *ROUTE)
    report = look(patient)
    assert report.problems() == {("answer", family) for family in FAMILIES}
    for family in FAMILIES:
        call, routing = report.said("problem", "answer", family)
        assert call.endswith("got no answer")
        assert routing.startswith(f"{ANSWERS} lacks its rule (priority 15006, fwmark")
        route = "and its route (local default dev lo table 133)"
        assert routing.endswith(route) is (family == "ipv6")
    patient.redirect("apply", *TPROXY)
    assert look(patient).ok


def test_rules_and_routes_of_others_that_come_first_are_named(
    patient: Namespace,
) -> None:
    patient.ip("rule", "add", "priority", "100", "lookup", "main")
    route = ("2001:db8::/32", "dev", "eth0", "table", "133")
    patient.ip("-6", "route", "add", *route)
    report = look(patient)
    assert report.problems() == {("answer", family) for family in FAMILIES}
    call, ahead = report.said("problem", "answer", "ipv4")
    assert call.endswith("got no answer")
    assert ahead.endswith("that of priority 15006: `100: from all lookup main`")
    call, beside = report.said("problem", "answer", "ipv6")
    assert call.endswith("got no answer")
    assert beside.startswith("table 133 has routes of others, which come before ours")


def test_a_rule_of_others_for_something_else_is_only_noted(patient: Namespace) -> None:
    for rule in (("to", "10.9.0.0/16"), ("iif", "eth0"), ("fwmark", "0x8000/0x8000")):
        patient.ip("rule", "add", "priority", "100", *rule, "lookup", "main")
    report = look(patient)
    assert report.ok, report
    (noted,) = report.said("note", "answer")
    assert noted.endswith("15006: `100: from all to 10.9.0.0/16 lookup main`")


def test_marks_that_others_change_are_named(
    patient: Namespace, backends: list[Backend]
) -> None:
    mark = ("-t", "mangle", "-A", "OUTPUT", "-j", "MARK", "--set-mark", "0")
    change(patient, backends[0], "ipv6", *mark)
    report = look(patient)
    assert report.problems() == {("answer", "ipv6")}
    call, marks = report.said("problem", "answer")
    assert call.endswith("got no answer")
    assert marks.startswith("rules of others change the mark of answers, 0x539/0xfff")


def test_what_others_do_to_the_loopback_interface_matters_here(
    patient: Namespace, backends: list[Backend]
) -> None:
    accept = ("OUTPUT", "-o", "lo", "-j", "ACCEPT")
    change(patient, backends[0], "ipv4", "-t", "mangle", "-I", *accept)
    report = look(patient)
    assert report.problems() == {("rules", "ipv4"), ("answer", "ipv4")}
    (ahead,) = report.said("problem", "rules")
    assert ahead.startswith("rules of others come before ours in OUTPUT")


def test_without_ipv6_on_loopback_it_says_what_to_set(patient: Namespace) -> None:
    off = "echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6"
    patient.run("/bin/sh", "-c", off)
    report = look(patient)
    assert ("answer", "ipv6") in report.problems()
    assert {family for _, family in report.problems()} == {"ipv6"}
    assert "the pod has no address ::1" in report.said("problem", "bypass")
    remedies = [
        each["remedy"]
        for each in report.findings
        if each["what"].startswith(f"{ANSWERS} lacks its route")
    ]
    assert "net.ipv6.conf.lo.disable_ipv6 is 0" in remedies[0]


def test_settings_that_it_does_not_depend_on_are_none_of_its_business(
    patient: Namespace,
) -> None:
    """What comes over lo has its route already, so that nobody asks for the way back."""
    settings = ("rp_filter=1", "src_valid_mark=1", "route_localnet=0", "accept_local=0")
    for name in ("all", "default", "lo", "eth0"):
        words = [f"net.ipv4.conf.{name}.{each}" for each in settings]
        patient.run("sysctl", "-qw", *words)
    for name in ("net.ipv4.tcp_fwmark_accept=1", "net.ipv4.fwmark_reflect=1"):
        patient.run("sysctl", "-qw", name)
    report = look(patient)
    assert report.ok, report
    assert report.said("ok", "answer", "ipv4")[0].endswith("was answered in the pod")


def test_a_sidecar_that_takes_what_is_handed_over_is_fine_and_one_that_waits_is_not(
    backends: list[Backend], tmp_path: Path
) -> None:
    with new_street(tmp_path, backends[0]) as street:
        excluded = ("--exclude-inbound-ports", "9999,9998")
        report = check(street.api, *TPROXY, *excluded)
        assert report.ok, report
        assert report.proven
        street.api.redirect("apply", *excluded)
        report = check(street.api, *excluded)
    assert report.problems() == {("listener", family) for family in FAMILIES}
    for said in report.said("problem", "listener"):
        assert said.endswith(
            "takes what TPROXY hands over, and --inbound-mode is redirect"
        )


def test_a_listener_that_nothing_can_be_handed_to_is_found(
    patient: Namespace, tmp_path: Path
) -> None:
    with somebody(patient, tmp_path, "::", 15006, *as_user(PROXY)):
        report = look(patient)
    for family in FAMILIES:
        (said,) = report.said("problem", "listener", family)
        assert said.startswith("[::]:15006 does not take what TPROXY hands over, and")
