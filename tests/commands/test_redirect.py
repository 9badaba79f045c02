from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sidecar.cli import main
from sidecar.redirect.options import OPTIONS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS:
        monkeypatch.delenv(option.variable, raising=False)


def test_show_prints_both_families(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["redirect", "show"]) == 0
    out = capsys.readouterr().out
    first, second = re.split(
        r"^# ip6tables-restore --noflush\n", out, flags=re.MULTILINE
    )
    first = first.removeprefix("# iptables-restore --noflush\n")
    assert first.replace("127.0.0.0/8", "::1/128") == second
    assert second.startswith("*nat\n")


def test_show_prints_one_family_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    cidrs = "10.0.0.0/8,fd00::/8"
    words = ["redirect", "show", "--family", "ipv6", "--include-outbound-cidrs", cidrs]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "-d fd00::/8 " in out
    assert "10.0.0.0" not in out


def test_show_names_the_routing_that_comes_with_tproxy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["redirect", "show", "--inbound-mode", "tproxy"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if line.startswith("# ip -")] == [
        f"# ip -{version} {command}"
        for version in (4, 6)
        for command in (
            "route add local default dev lo table 133",
            "rule add priority 15006 fwmark 0x539/0xfff lookup 133",
        )
    ]


def test_the_environment_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDECAR_REDIRECT_PROXY_UID", "4321")
    assert main(["redirect", "show"]) == 0
    assert "--uid-owner 4321" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["show", "apply"])
def test_bad_options_are_told_all_at_once(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["redirect", command, "--proxy-uid", "0", "--health-ports", "x,y"]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 3)


@pytest.mark.parametrize("command", ["apply", "remove"])
def test_without_iptables_it_says_what_to_install(
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["redirect", command]) == 1
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.endswith(": install iptables\n")


def test_an_option_that_is_given_twice_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    twice = ["--exclude-inbound-ports", "80", "--exclude-inbound-ports", "81"]
    with pytest.raises(SystemExit) as ended:
        main(["redirect", "show", *twice])
    assert ended.value.code == 2
    said = "--exclude-inbound-ports: given twice, '80' and '81': a list has commas\n"
    assert said in capsys.readouterr().err
