"""Ensures that real iptables takes the rules, keeps them, and gives them back."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sidecar.redirect.exclusive import NAME
from sidecar.redirect.model import Backend
from tests.netns.pods import need_root, run
from tests.redirect import cases
from tests.support.deadlines import eventually
from tests.support.processes import ROOT
from tests.support.programs import require

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netns.pods import Namespace

FAMILIES = ("iptables", "ip6tables")


def add_foreign_rules(space: Namespace, backend: Backend) -> None:
    for program in FAMILIES:
        command = (require(f"{program}-{backend}"), "-t", "nat")
        space.run(*command, "-N", "SOMEBODYS")
        for chain in ("PREROUTING", "OUTPUT"):
            space.run(*command, "-A", chain, "-p", "udp", "-j", "SOMEBODYS")
            comment = ("-m", "comment", "--comment", "it's -j SIDECAR_INBOUND")
            space.run(*command, "-A", chain, *comment, "-j", "RETURN")


def only_rules(saved: str) -> list[str]:
    return [line for line in saved.splitlines() if line[:2] == "-A" or " - " in line]


def options(name: str) -> list[str]:
    return [
        word
        for key, value in cases.OPTIONS[name].items()
        for word in (f"--{key.replace('_', '-')}", value)
    ]


def test_applying_twice_changes_nothing(space: Namespace, backend: Backend) -> None:
    assert space.redirect("apply", "--backend", backend) == (
        f"ipv4 ({backend}): 10 rules in place\nipv6 ({backend}): 10 rules in place\n"
    )
    once = space.rules(backend)
    assert once.count("-A SIDECAR_INBOUND") == once.count("-A SIDECAR_OUTBOUND") == 8
    assert space.redirect("apply") == (
        f"ipv4 ({backend}): nothing to change, 10 rules\n"
        f"ipv6 ({backend}): nothing to change, 10 rules\n"
    )
    assert space.rules(backend) == once


def test_every_named_case_is_what_the_kernel_then_has(
    space: Namespace, backend: Backend
) -> None:
    for name in cases.OPTIONS:
        space.redirect("apply", "--backend", backend, *options(name))
        said = space.redirect("apply", *options(name))
        assert said.count("nothing to change") == 2, (name, said)
        space.redirect("remove")
        assert only_rules(space.rules(backend)) == [], name


def test_other_options_replace_the_rules_and_leave_no_old_ones(
    space: Namespace, backend: Backend
) -> None:
    space.redirect("apply", "--backend", backend)
    space.redirect("apply", *options("everything"))
    replaced = space.rules(backend)
    space.redirect("remove")
    space.redirect("apply", "--backend", backend, *options("everything"))
    assert space.rules(backend) == replaced


def test_removing_gives_back_what_was_there(space: Namespace, backend: Backend) -> None:
    add_foreign_rules(space, backend)
    before = space.rules(backend)
    space.redirect("apply")
    applied = space.rules(backend)
    assert set(before.splitlines()) < set(applied.splitlines())
    assert space.redirect("remove") == (
        f"ipv4 ({backend}): 10 rules removed\nipv6 ({backend}): 10 rules removed\n"
    )
    assert space.rules(backend) == before
    assert space.redirect("remove") == "nothing to remove\n"


def test_the_backend_that_has_rules_already_is_taken(
    space: Namespace, backend: Backend, backends: list[Backend]
) -> None:
    add_foreign_rules(space, backend)
    assert space.redirect("apply").count(f"({backend}): 10 rules in place") == 2
    for other in set(backends) - {backend}:
        said = space.redirect("apply", "--backend", other)
        assert said.count(f"({other}): 10 rules in place") == 2
        assert said.count(f"({backend}): 10 rules removed") == 2
        assert "sidecar/" not in space.rules(backend)
        space.redirect("remove")
        assert "sidecar/" not in space.rules(other)


def test_what_is_shown_is_what_iptables_takes(
    space: Namespace, backend: Backend
) -> None:
    for program, family in zip(FAMILIES, ("ipv4", "ipv6"), strict=True):
        words = ("show", "--family", family, *options("everything"))
        text = space.redirect(*words)
        restore = (require(f"{program}-{backend}-restore"), "--noflush")
        space.run(*restore, input=text)
    said = space.redirect("apply", *options("everything"))
    assert said.count("nothing to change") == 2


@pytest.mark.parametrize("before", [[], ["--proxy-uid", "2000"]], ids=["none", "some"])
def test_a_second_family_that_fails_leaves_the_network_as_it_was(
    space: Namespace, backend: Backend, before: list[str], tmp_path: Path
) -> None:
    add_foreign_rules(space, backend)
    if before:
        space.redirect("apply", *before)
    saved = space.rules(backend)
    environ = programs_but(tmp_path, f"ip6tables-{backend}-restore", backend)
    said = space.redirect("apply", fails=True, env=environ)
    assert said == (f"sidecar redirect: ip6tables-{backend}-restore: out of luck\n")
    assert (tmp_path / "asked").exists()
    assert space.rules(backend) == saved


def programs_but(folder: Path, broken: str, backend: Backend) -> dict[str, str]:
    """Give an environment with the programs of iptables; one of them fails."""
    for program, action in itertools.product(FAMILIES, ("save", "restore")):
        name = f"{program}-{backend}-{action}"
        (folder / name).symlink_to(require(name))
    (folder / broken).unlink()
    script = f"#!/bin/sh\n: > {folder}/asked\necho 'out of luck' >&2\nexit 2\n"
    (folder / broken).write_text(script)
    (folder / broken).chmod(0o755)
    return {"PATH": str(folder), "PYTHONPATH": str(ROOT)}


def test_a_restore_that_the_kernel_refuses_changes_nothing(
    space: Namespace, backend: Backend
) -> None:
    """A chain of ours that somebody else leads to cannot be dropped."""
    space.redirect("apply", "--backend", backend)
    ip6tables = (require(f"ip6tables-{backend}"), "-t", "nat")
    space.run(*ip6tables, "-N", "SOMEBODYS")
    space.run(*ip6tables, "-A", "SOMEBODYS", "-j", "SIDECAR_INBOUND")
    before = space.rules(backend)
    said = space.redirect("remove", fails=True)
    assert said.startswith(f"sidecar redirect: ip6tables-{backend}-restore: ")
    assert said.count("\n") == 1
    assert space.rules(backend) == before


@pytest.mark.parametrize("command", ["apply", "remove"])
def test_without_permission_nothing_is_done(
    space: Namespace, backend: Backend, command: str
) -> None:
    space.redirect("apply", "--backend", backend)
    before = space.rules(backend)
    # Root without capabilities: as another user it could not read a checkout of root.
    bound = (require("setpriv"), "--bounding-set", "-net_admin", "--inh-caps", "-all")
    words = (sys.executable, "-m", "sidecar", "redirect", command)
    said = space.run(*bound, *words, fails=True)
    assert said == (
        "sidecar redirect: no permission to change iptables rules: run it as root"
        " with the capabilities NET_ADMIN and NET_RAW, as an init container does\n"
    )
    assert space.rules(backend) == before


def test_two_capabilities_are_enough(space: Namespace, backend: Backend) -> None:
    bound = ("--bounding-set", "-all,+net_admin,+net_raw", "--inh-caps", "-all")
    for words in (("apply", "--backend", backend), ("apply",), ("remove",)):
        command = (sys.executable, "-m", "sidecar", "redirect", *words)
        said = space.run(require("setpriv"), *bound, *command)
        assert said.count("10 rules") == 2


def test_bad_options_change_nothing(space: Namespace, backend: Backend) -> None:
    space.redirect("apply", "--backend", backend)
    before = space.rules(backend)
    evil = ["--exclude-outbound-cidrs", "fe80::% -j ACCEPT/64", "--proxy-uid", "0"]
    said = space.redirect("apply", *evil, fails=True)
    assert said.count("\n") == 2
    assert space.rules(backend) == before


def test_without_ipv6_it_redirects_ipv4_and_says_so(
    space: Namespace, backend: Backend, tmp_path: Path
) -> None:
    """The kernel of this test has IPv6; its ip6tables say that it has not."""
    environ = programs_but(tmp_path, f"ip6tables-{backend}-restore", backend)
    # What each of the two says (istio/istio#44118, #5341).
    said = {
        Backend.NFT: "Failed to initialize nft: Protocol not supported",
        Backend.LEGACY: "ip6tables-restore: unable to initialize table 'nat'",
    }[backend]
    script = f'#!/bin/sh\necho "{said}" >&2\nexit 3\n'
    (tmp_path / f"ip6tables-{backend}-restore").write_text(script)
    lines = space.redirect("apply", env=environ).splitlines()
    assert lines[0] == f"ipv4 ({backend}): 10 rules in place"
    assert lines[1].startswith("ipv6: this kernel has no tables for it (ip6tables")
    space.redirect("remove", env=environ)
    before = only_rules(space.rules(backend))
    space.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    space.ip("address", "add", "fd77::9/64", "dev", "eth0", "nodad")
    said = space.redirect("apply", fails=True, env=environ)
    assert "the pod has IPv6 addresses on eth0, which nothing would guard" in said
    assert only_rules(space.rules(backend)) == before


@pytest.mark.parametrize("kind", ["include", "exclude"])
def test_lists_as_long_as_people_have_them_are_taken(
    space: Namespace, backends: list[Backend], kind: str
) -> None:
    ports = ",".join(str(port) for port in range(1000, 1400, 2))
    networks = [f"10.0.{n}.0/24" for n in range(250)]
    networks += [f"fd00:{n:x}::/48" for n in range(250)]
    long = [f"--{kind}-inbound-ports", ports]
    # Ports times networks would be thousands of rules, and are too: but not here.
    long += [f"--{kind}-outbound-cidrs", ",".join(networks)]
    said = space.redirect("apply", "--backend", backends[0], *long)
    assert said.count("rules in place") == 2
    assert space.redirect("apply", *long).count("nothing to change") == 2
    assert space.redirect("remove").count("rules removed") == 2


def test_several_at_once_end_as_one_after_the_other(
    space: Namespace, backend: Backend
) -> None:
    """As where a kubelet starts an init container again whose first one still runs."""
    command = (sys.executable, "-m", "sidecar", "redirect", "apply")
    words = space.command(*command, "--backend", backend)
    started = [subprocess.Popen(words, cwd=ROOT) for _ in range(4)]
    assert [each.wait(60) for each in started] == [0] * 4
    rules = space.rules(backend)
    assert rules.count("-j SIDECAR_INBOUND") == rules.count("-j SIDECAR_OUTBOUND") == 2
    assert space.redirect("apply").count("nothing to change, 10 rules") == 2


def test_who_waits_for_another_in_vain_changes_nothing(space: Namespace) -> None:
    lock = space.within(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    with lock:
        lock.bind(NAME)
        said = space.redirect("apply", "--lock-seconds", "1", fails=True)
    assert said == (
        "sidecar redirect: another `sidecar redirect` is at work in this network, and"
        " has not ended in 1 seconds: wait longer, --lock-seconds or --timeout\n"
    )
    assert space.redirect("remove") == "nothing to remove\n"


@pytest.mark.parametrize("mode", ["redirect", "tproxy"])
def test_what_was_killed_in_its_midst_is_completed_by_the_next(
    space: Namespace, backend: Backend, tmp_path: Path, mode: str
) -> None:
    words = ("--backend", backend, "--inbound-mode", mode)
    space.redirect("apply", *words)
    whole = space.rules(backend)
    space.redirect("remove")
    broken = f"ip6tables-{backend}-restore"
    environ = programs_but(tmp_path, broken, backend)
    (tmp_path / "ip").symlink_to(require("ip"))
    (tmp_path / broken).write_text("#!/bin/sh\n/bin/kill -9 $PPID\n")
    space.redirect("apply", *words, fails=True, env=environ)
    half = space.rules(backend)
    assert half != whole
    assert "SIDECAR_OUTBOUND" in half
    assert space.redirect("apply", *words).count("rules in place") == 1
    assert space.rules(backend) == whole
    assert space.redirect("remove").count("rules removed") == 2
    assert "SIDECAR" not in space.rules(backend)


def test_without_ipv6_on_loopback_tproxy_is_refused_in_one_sentence(
    space: Namespace,
) -> None:
    space.ip("link", "add", "eth0", "type", "veth", "peer", "name", "wire")
    space.ip("link", "set", "eth0", "up")
    space.ip("address", "add", "fd77:9::5/64", "dev", "eth0", "nodad")
    off = "echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6"
    space.run("/bin/sh", "-c", off)
    said = space.redirect("apply", "--inbound-mode", "tproxy", fails=True)
    assert said.count("ip -6 route add") == 1
    assert said.endswith(": bring lo up, and set net.ipv6.conf.lo.disable_ipv6 to 0\n")
    assert "133" not in space.run("ip", "route", "show", "table", "all")


def test_what_is_told_to_end_takes_back_what_it_began(
    space: Namespace, backend: Backend, tmp_path: Path
) -> None:
    before = only_rules(space.rules(backend))
    broken = f"ip6tables-{backend}-restore"
    environ = programs_but(tmp_path, broken, backend)
    stalled = f"#!/bin/sh\n: > {tmp_path}/asked\nexec /usr/bin/tail -f /dev/null\n"
    (tmp_path / broken).write_text(stalled)
    command = (sys.executable, "-m", "sidecar", "redirect", "apply")
    words = space.command(*command, "--backend", backend)
    with subprocess.Popen(words, cwd=ROOT, env=environ) as process:
        eventually((tmp_path / "asked").exists, "the second family is being written")
        assert "SIDECAR_OUTBOUND" in space.rules(backend)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 1
    assert only_rules(space.rules(backend)) == before


def test_in_a_user_namespace_without_the_sidecar_s_user_it_says_so() -> None:
    """As root of a namespace that has no other user."""
    need_root()
    own = ("--user", "--map-root-user", "--net")
    command = (sys.executable, "-m", "sidecar", "redirect", "apply")
    said = run(require("unshare"), *own, *command, fails=True)
    assert said == (
        "sidecar redirect: --proxy-uid: 1337 is not mapped in this user namespace"
        " (/proc/self/uid_map): map it, or name one that is\n"
    )
