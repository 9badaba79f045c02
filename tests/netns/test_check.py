"""Ensures that `sidecar redirect check` tells a pod that is captured from one that is not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen

from tests.netns.cgroups import new_cgroup
from tests.netns.pods import PROXY, Hub, Namespace
from tests.support.processes import ROOT, Process
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sidecar.redirect.model import Backend
    from tests.netns.world import World

FAMILIES = ("ipv4", "ipv6")
NAT = {"ipv4": "iptables", "ipv6": "ip6tables"}
ANYWHERE = {"192.0.2.0/24": "0.0.0.0", "2001:db8::/32": "::"}
"""What is called, as nobody should be there; and where to listen for it."""


@frozen
class Report:
    """What a check said."""

    ok: bool
    proven: bool
    findings: list[dict[str, Any]]

    def said(self, level: str, check: str, family: str | None = None) -> list[str]:
        return [
            each["what"]
            for each in self.findings
            if (each["level"], each["check"]) == (level, check)
            and family in {None, each["family"]}
        ]

    def problems(self) -> set[tuple[str, str | None]]:
        return {
            (each["check"], each["family"])
            for each in self.findings
            if each["level"] == "problem"
        }


def check(
    pod: Namespace, *words: str | Path, through: tuple[str | Path, ...] = ()
) -> Report:
    """Run the check in a pod; its exit status has to be what it says."""
    own = (sys.executable, "-m", "sidecar", "redirect", "check")
    command = (*own, "--json", "--timeout", "60")
    status = ("/bin/sh", "-c", '"$@"; echo " $?"', "sh")
    output = pod.run(*status, *through, *command, *words)
    text, _, ended = output.rpartition(" ")
    report = Report(**json.loads(text))
    assert int(ended) == (0 if report.ok else 1)
    assert report.ok is (not report.problems())
    return report


def as_user(uid: str, *, reads: bool = True) -> tuple[str | Path, ...]:
    """Become another user, who may read what belongs to root and nothing more."""
    user = ("--reuid", uid, "--regid", uid, "--clear-groups")
    capability = ("+dac_read_search",) if reads else ("-all",)
    return (
        *(require("setpriv"), *user, "--inh-caps", *capability),
        *("--ambient-caps", *capability),
    )


@pytest.fixture
def patient(space: Namespace) -> Namespace:
    make_patient(space)
    return space


def make_patient(space: Namespace) -> None:
    """Give it an address and a default route of each family, and no neighbour."""
    space.ip("link", "add", "eth0", "type", "veth", "peer", "name", "wire")
    for address in ("10.77.9.5/24", "fd77:9::5/64"):
        version = "-6" if ":" in address else "-4"
        nodad = ("nodad",) if version == "-6" else ()
        space.ip(version, "address", "add", address, "dev", "eth0", *nodad)
    for link in ("eth0", "wire"):
        space.ip("link", "set", link, "up")
    space.ip("route", "add", "default", "via", "10.77.9.1")
    space.ip("-6", "route", "add", "default", "via", "fd77:9::1")


@pytest.fixture
def captured(patient: Namespace, backends: list[Backend]) -> Namespace:
    """The same, with the rules."""
    patient.redirect("apply", "--backend", backends[0])
    return patient


def change(pod: Namespace, backend: Backend, family: str, *words: str) -> None:
    """Have iptables change its rules; those of nat, unless it is told otherwise."""
    pod.run(require(f"{NAT[family]}-{backend}"), *words)


@contextmanager
def somebody(
    pod: Namespace,
    folder: Path,
    host: str,
    port: int,
    *through: str | Path,
) -> Iterator[Process]:
    """A program that listens, and says so when it does."""
    script = (
        "import socket, sys, time;"
        f"s = socket.create_server(({host!r}, {port}),"
        f" family=socket.AF_INET6 if ':' in {host!r} else socket.AF_INET);"
        "print('listens', flush=True); time.sleep(600)"
    )
    words = pod.command(*through, sys.executable, "-c", script)
    with Process(list(words), folder, f"somebody-{port}") as process:
        process.wait_for_line("listens")
        yield process


def test_a_pod_with_its_sidecar_is_captured_and_the_sidecar_notices_nothing(
    world: World,
) -> None:
    for sidecar in (world.api, world.frontend):
        before = sidecar.connections()
        excluded = ["--exclude-outbound-ports", "9999,9997"]
        excluded += ["--exclude-inbound-ports", "9999,9998"]
        if sidecar is world.frontend:
            excluded += ["--exclude-outbound-cidrs", "10.78.0.0/16,fd78::/64"]
        config = ("--config", sidecar.configuration_file)
        report = check(sidecar.pod, *excluded, *config, "--service", "10.96.0.10:80")
        assert report.ok, report
        assert report.proven
        for family in FAMILIES:
            assert len(report.said("ok", "rules", family)) == 1
            assert len(report.said("ok", "listener", family)) == 2
            assert len(report.said("ok", "capture", family)) == 1
            assert report.said("untested", "bypass", family) == []
        assert len(report.said("ok", "service")) == 1
        assert sidecar.connections() == before


def test_without_permission_the_connections_are_made_all_the_same(
    world: World,
) -> None:
    report = check(world.api.pod, through=as_user("1000"))
    assert report.ok, report
    assert report.proven
    assert "NET_ADMIN" in report.said("untested", "rules")[0]
    for family in FAMILIES:
        assert "only root" in report.said("untested", "bypass", family)[0]


def test_as_the_sidecars_user_it_says_that_it_cannot_tell(world: World) -> None:
    report = check(world.api.pod, through=as_user(PROXY))
    assert report.ok, report
    assert not report.proven
    for family in FAMILIES:
        (said,) = report.said("untested", "capture", family)
        assert "the check itself runs with the sidecar's user" in said
        assert len(report.said("ok", "bypass", family)) == 3


def test_as_the_init_containers_last_step_it_stands_in_and_changes_nothing(
    patient: Namespace, backend: Backend
) -> None:
    patient.redirect("apply", "--backend", backend)
    before = patient.rules(backend)
    report = check(patient, "--before-start")
    assert report.ok, report
    assert report.proven
    assert len(report.said("note", "listener")) == 4
    assert patient.rules(backend) == before
    again = check(patient, "--before-start")  # and nobody listens any more
    assert again.ok


def test_applying_ends_with_a_check_where_that_is_asked_for(
    patient: Namespace, backends: list[Backend], tmp_path: Path
) -> None:
    """With the capabilities of the init container, which has no more."""
    bound = ("--bounding-set", "-all,+net_admin,+net_raw", "--inh-caps", "-all")
    apply = (sys.executable, "-m", "sidecar", "redirect", "apply", "--check")
    said = patient.run(require("setpriv"), *bound, *apply)
    assert said.count("10 rules in place") == 2
    assert said.count("ok       ipv4 capture") == said.count("ok       ipv6 cap") == 1
    assert said.endswith("no problem: what the pod sends is captured\n")
    assert said.count("the sidecar's own user was not tried: not permitted") == 2
    with somebody(patient, tmp_path, "::", 15001, *as_user("1000")):
        said = patient.redirect("apply", "--check", fails=True)
    assert "user 1000 listens at [::]:15001" in said
    change(patient, backends[0], "ipv4", "-t", "nat", "-I", "OUTPUT", "-j", "ACCEPT")
    assert "left the pod" in patient.redirect("apply", "--check", fails=True)


def test_without_rules_everything_goes_past(patient: Namespace) -> None:
    report = check(patient, "--before-start")
    assert report.problems() == {
        (kind, family) for kind in ("rules", "capture") for family in FAMILIES
    }
    assert "left the pod" in report.said("problem", "capture")[0]


def test_without_a_sidecar_a_refusal_proves_nothing(captured: Namespace) -> None:
    report = check(captured)
    assert report.problems() == {("listener", family) for family in FAMILIES}
    assert not report.proven
    for family in FAMILIES:
        assert "was refused" in report.said("untested", "capture", family)[0]


def test_ipv6_that_was_left_open_is_found(patient: Namespace, backend: Backend) -> None:
    patient.redirect("apply", "--backend", backend)
    change(patient, backend, "ipv6", "-t", "nat", "-F")
    change(patient, backend, "ipv6", "-t", "nat", "-X")
    report = check(patient, "--before-start")
    assert report.problems() == {("rules", "ipv6"), ("capture", "ipv6")}
    assert "IPv6 is open" in report.said("problem", "rules")[0]
    unprivileged = check(patient, "--before-start", through=as_user("1000"))
    assert unprivileged.problems() == {("capture", "ipv6")}


def test_without_ipv6_nothing_is_said_of_it(
    captured: Namespace,
) -> None:
    captured.run("/bin/sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
    report = check(captured, "--before-start")
    assert report.ok, report
    assert report.proven
    assert {each["family"] for each in report.findings if each["check"] != "rules"} == {
        None,
        "ipv4",
    }


def test_without_ipv4_nothing_is_asked_of_it(captured: Namespace) -> None:
    captured.ip("-4", "address", "flush", "dev", "eth0")
    report = check(captured, "--before-start")
    assert report.ok, report
    assert report.proven
    assert report.said("note", "listener", "ipv4") == []
    assert len(report.said("note", "listener", "ipv6")) == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rule_that_is_gone_is_found_and_so_is_what_it_does(
    patient: Namespace, backend: Backend, family: str
) -> None:
    patient.redirect("apply", "--backend", backend)
    for number in ("1", "1"):  # proxy-uid and proxy-gid
        change(patient, backend, family, "-t", "nat", "-D", "SIDECAR_OUTBOUND", number)
    report = check(patient, "--before-start")
    assert report.problems() == {("rules", family), ("bypass", family)}
    (rules,) = report.said("problem", "rules")
    assert "2 missing: `" in rules
    assert "sidecar/proxy-uid" in rules
    (circle,) = report.said("problem", "bypass")
    assert "the sidecar's own user" in circle


def test_rules_of_other_options_are_found(captured: Namespace) -> None:
    options = ("--exclude-outbound-ports", "53", "--before-start")
    report = check(captured, *options)
    assert report.problems() == {
        (kind, family) for kind in ("rules", "bypass") for family in FAMILIES
    }
    captured.redirect("apply", *options[:2])
    assert check(captured, *options).ok


def test_rules_out_of_order_are_found(
    captured: Namespace, backends: list[Backend]
) -> None:
    nat = ("-t", "nat")
    last = ("-p", "tcp", "-m", "comment", "--comment", "sidecar/to-outbound")
    to = ("-j", "REDIRECT", "--to-ports", "15001")
    change(captured, backends[0], "ipv4", *nat, "-D", "SIDECAR_OUTBOUND", *last, *to)
    change(captured, backends[0], "ipv4", *nat, "-I", "SIDECAR_OUTBOUND", *last, *to)
    report = check(captured, "--before-start")
    assert report.problems() == {("rules", "ipv4"), ("bypass", "ipv4")}
    assert report.said("problem", "rules") == [
        "the rules of SIDECAR_OUTBOUND are out of order"
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_others_put_ahead_of_ours_is_found(
    captured: Namespace, backends: list[Backend], family: str
) -> None:
    for chain in ("OUTPUT", "PREROUTING"):
        change(captured, backends[0], family, "-t", "nat", "-I", chain, "-j", "ACCEPT")
    report = check(captured, "--before-start")
    assert report.problems() == {("rules", family), ("capture", family)}
    assert len(report.said("problem", "rules", family)) == 2


def test_what_others_hide_from_nat_is_found(
    captured: Namespace, backends: list[Backend]
) -> None:
    words = ("-t", "raw", "-I", "OUTPUT", "-p", "tcp", "-j", "CT", "--notrack")
    change(captured, backends[0], "ipv6", *words)
    report = check(captured, "--before-start")
    assert {("rules", "ipv6"), ("capture", "ipv6")} <= report.problems()
    assert "hide TCP from connection tracking" in report.said("problem", "rules")[0]


def test_somebody_elses_redirection_is_found(
    captured: Namespace, backends: list[Backend], tmp_path: Path
) -> None:
    redirect = ("-p", "tcp", "!", "-o", "lo", "-j", "REDIRECT", "--to-ports", "9999")
    change(captured, backends[0], "ipv4", "-t", "nat", "-I", "OUTPUT", *redirect)
    with somebody(captured, tmp_path, "127.0.0.1", 9999):
        report = check(captured, "--before-start", through=as_user("1000"))
    (said,) = report.said("problem", "capture")
    assert "was turned to 127.0.0.1:9999, which is not the sidecar's port" in said


def test_rules_in_both_backends_are_found(
    patient: Namespace, backends: list[Backend]
) -> None:
    if len(backends) == 1:
        pytest.skip("this kernel has one kind of tables, and cannot mix two")
    for backend in backends:
        for family, program in NAT.items():
            text = patient.redirect("show", "--family", family)
            patient.run(require(f"{program}-{backend}-restore"), input=text)
    report = check(patient, "--before-start")
    assert report.problems() == {("rules", family) for family in FAMILIES}
    for family in FAMILIES:
        (said,) = report.said("problem", "rules", family)
        assert said == "both the nft and legacy tables hold rules of ours"
    patient.redirect("apply")
    assert check(patient, "--before-start").ok


def test_foreign_rules_in_the_other_backend_are_found(
    patient: Namespace, backends: list[Backend]
) -> None:
    if len(backends) == 1:
        pytest.skip("this kernel has one kind of tables, and cannot mix two")
    patient.redirect("apply", "--backend", backends[0])
    change(patient, backends[1], "ipv4", "-t", "nat", "-A", "OUTPUT", "-j", "ACCEPT")
    report = check(patient, "--before-start")
    assert ("rules", "ipv4") in report.problems()
    (said,) = report.said("problem", "rules")
    assert said.startswith(
        f"ours are in the {backends[0]} tables, and the {backends[1]}"
    )


def test_what_the_options_let_by_goes_past(patient: Namespace) -> None:
    options = (
        *("--exclude-outbound-ports", "53"),
        *("--exclude-outbound-cidrs", "10.78.0.0/16,fd78::/64"),
    )
    patient.redirect("apply", *options)
    report = check(patient, *options, "--before-start")
    assert report.ok, report
    for family in FAMILIES:
        said = report.said("ok", "bypass", family)
        assert sum("what the options let by" in each for each in said) == 2


def test_only_what_is_captured_is_called_and_only_where_there_is_a_route(
    captured: Namespace,
) -> None:
    networks = ("--include-outbound-cidrs", "10.0.0.0/8,fd00::/8")
    captured.redirect("apply", *networks)
    report = check(captured, *networks, "--before-start")
    assert report.proven, report
    assert "10.255.255.254:9" in report.said("ok", "capture", "ipv4")[0]
    captured.redirect("apply")
    captured.ip("-6", "route", "del", "default")
    assert (
        "[fd77:9::ffff"
        in check(captured, "--before-start").said("ok", "capture", "ipv6")[0]
    )
    captured.ip("-6", "address", "del", "fd77:9::5/64", "dev", "eth0")
    report = check(captured, "--before-start")
    assert report.ok, report
    # What is left, as in every cluster of IPv4 alone: the address of the link.
    assert report.proven
    assert report.said("note", "capture") == [
        "over ipv6 there is nothing to capture: no route leads further than its link"
    ]


def test_somebody_who_has_the_sidecars_port_is_found(
    captured: Namespace, tmp_path: Path
) -> None:
    with somebody(captured, tmp_path, "127.0.0.1", 15001, *as_user("1000")):
        report = check(captured, "--before-start")
    assert report.problems() == {("listener", "ipv4")}
    assert (
        "user 1000 listens at 127.0.0.1:15001" in report.said("problem", "listener")[0]
    )


def test_an_application_with_the_sidecars_user_is_found(
    captured: Namespace, tmp_path: Path
) -> None:
    """By its socket, whoever looks; by its process, where that is to be seen."""
    with new_cgroup() as cgroup:
        through = (*cgroup.command(), *as_user(PROXY))
        with somebody(captured, tmp_path, "::", 3306, *through):
            report = check(captured, "--before-start", through=as_user("1000"))
    assert report.problems() == {("user", None)}
    process, sock = report.said("problem", "user")
    assert process.endswith("runs with the sidecar's user 1337")
    assert "user 1337 listens at [::]:3306" in sock


def test_several_at_once_do_not_take_one_another_for_strangers(
    patient: Namespace,
) -> None:
    command = (sys.executable, "-m", "sidecar", "redirect", "apply", "--check")
    started = [
        subprocess.Popen(patient.command(*command), cwd=ROOT, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    for each in started:
        said, _ = each.communicate(timeout=60)
        assert said.decode().endswith("no problem: what the pod sends is captured\n")
        assert each.returncode == 0


def test_processes_of_another_pod_are_none_of_its_business(
    captured: Namespace, tmp_path: Path
) -> None:
    """They are to be seen where PID namespaces are shared, as on this machine."""
    bound = ("--bounding-set", "-all,+net_admin,+net_raw", "--inh-caps", "-all")
    with new_cgroup() as cgroup, Namespace.new() as other:
        through = (*cgroup.command(), *as_user(PROXY))
        with somebody(other, tmp_path, "::", 3306, *through):
            for caller in (as_user("1000", reads=False), (require("setpriv"), *bound)):
                report = check(captured, "--before-start", through=caller)
                assert report.ok, report
                assert "of this network" in report.said("ok", "user")[0]


def test_the_rules_that_another_mesh_has_left_are_called_by_its_name(
    patient: Namespace, backends: list[Backend]
) -> None:
    """A part of what istio-iptables makes; it was in the pod first."""
    left = (
        "*nat\n:ISTIO_OUTPUT - [0:0]\n:ISTIO_REDIRECT - [0:0]\n"
        "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001\n"
        "-A OUTPUT -j ISTIO_OUTPUT\n"
        "-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN\n"
        "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN\n"
        "-A ISTIO_OUTPUT -j ISTIO_REDIRECT\nCOMMIT\n"
    )
    restore = require(f"iptables-{backends[0]}-restore")
    patient.run(restore, "--noflush", input=left)
    said = patient.redirect("apply", "--check", fails=True)
    assert "come before ours in OUTPUT: `-A OUTPUT -j ISTIO_OUTPUT`" in said
    assert "remedy: they are Istio's: take the pod out of that mesh" in said


def test_an_application_at_a_port_that_is_let_by_for_probes_is_found(
    captured: Namespace, tmp_path: Path
) -> None:
    with somebody(captured, tmp_path, "::", 15020, *as_user("1000")):
        report = check(captured, "--before-start")
    assert report.problems() == {("listener", None)}
    (said,) = report.said("problem", "listener")
    assert said.startswith("user 1000 listens at [::]:15020, which --health-ports lets")


def test_a_packet_that_gets_lost_is_not_taken_for_one_that_left(
    captured: Namespace, backends: list[Backend]
) -> None:
    first = ("-m", "statistic", "--mode", "nth", "--every", "1000", "--packet", "0")
    lost = ("OUTPUT", "-d", "192.0.2.0/24", *first, "-j", "DROP")
    change(captured, backends[0], "ipv4", "-t", "mangle", "-A", *lost)
    report = check(captured, "--before-start")
    assert report.ok, report
    assert report.proven


def test_an_answer_from_outside_the_pod_is_none_of_the_sidecars(
    backends: list[Backend],
) -> None:
    assert backends
    with ExitStack() as stack:
        hub = Hub.new(stack)
        pod = hub.pod("pod")
        for network, host in ANYWHERE.items():
            version = "-6" if ":" in network else "-4"
            hub.space.ip(version, "route", "add", "local", network, "dev", "lo")
            stack.enter_context(hub.space.within(partial(listener_at, host)))
        report = check(pod, through=as_user("1000"))
        for family in FAMILIES:
            (said,) = report.said("problem", "capture", family)
            assert "was answered from outside the pod" in said


def listener_at(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, 9), family=family)


@pytest.mark.parametrize(
    ("service", "backend_of_it"),
    [("10.96.0.10", "10.77.0.99"), ("fd96::10", "fd96::99")],
    ids=FAMILIES,
)
def test_sockets_that_are_balanced_before_the_rules_are_found(
    patient: Namespace, service: str, backend_of_it: str
) -> None:
    """Cilium has getpeername() answer with the service's address again (cilium#9974)."""
    called = f"[{service}]:443" if ":" in service else f"{service}:443"
    words = ("--before-start", "--service", called)
    patient.redirect("apply")
    assert check(patient, *words).ok
    with new_cgroup() as cgroup:
        cgroup.balance(service, backend_of_it)
        names = patient.run(*cgroup.command(sys.executable, "-c", SHOW, service))
        report = check(patient, *words, through=cgroup.command())
    assert names.split() == [service]
    assert report.problems() == {("service", None)}
    (said,) = report.said("problem", "service")
    assert backend_of_it in said


SHOW = """
import socket, sys
host = sys.argv[1]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
sock = socket.create_server(("::1" if ":" in host else "127.0.0.1", 15001), family=family)
print(socket.create_connection((host, 443), 5).getpeername()[0])
"""
