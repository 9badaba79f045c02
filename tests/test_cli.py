from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar import __version__
from sidecar.cli import BAD_INPUT, DONE, FAILED, main

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]

COMMANDS = (
    ("run",),
    ("check",),
    ("demo",),
    ("policy",),
    ("policy", "explain"),
    ("policy", "test"),
    ("certs",),
    ("certs", "init"),
    ("certs", "issue"),
    ("certs", "show"),
    ("redirect",),
    ("redirect", "apply"),
    ("redirect", "show"),
    ("redirect", "remove"),
    ("webhook",),
    ("wait",),
)


def sidecar(
    *arguments: str | Path,
    options: Sequence[str] = (),
    stdout: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # -E: buffered, whatever this process was told.
        [sys.executable, "-E", *options, "-m", "sidecar", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )


def imported(*arguments: str | Path) -> set[str]:
    """Name every module that a command has imported when it ends."""
    ended = sidecar(*arguments, options=["-X", "importtime"])
    return set(re.findall(r"^import time:.*\| +(\S+)$", ended.stderr, re.MULTILINE))


@pytest.mark.parametrize("command", [(), *COMMANDS], ids=" ".join)
def test_help_is_there_for_every_command(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert left.value.code == DONE
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {' '.join(('sidecar', *command))} ")
    assert "example" in text


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    listed = re.findall(r"^    (\w+) ", text, re.MULTILINE)
    assert listed == [
        "run",
        "check",
        "demo",
        "policy",
        "certs",
        "redirect",
        "inject",
        "uninject",
        "webhook",
        "wait",
    ]


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert (left.value.code, capsys.readouterr().out) == (DONE, f"{__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "sidecar: the following arguments are required: COMMAND"),
        (["rum"], "got 'rum' (did you mean 'run'?)"),
        (["explain"], "got 'explain' (did you mean 'policy explain'?)"),
        (["run"], "the following arguments are required: --config"),
        (["run", "--confg", "x"], "--confg: there is no such option (did you mean"),
        (["run", "--config", "x", "y"], "expected no more arguments, got 'y'"),
        (["check"], "one of the arguments FILE --manifests is required"),
        (["certs"], "sidecar certs: the following arguments are required: COMMAND"),
        (["certs", "isue"], "got 'isue' (did you mean 'issue'?)"),
        (["redirect", "aply"], "got 'aply' (did you mean 'apply'?)"),
        (["redirect", "show", "--famly", "x"], "(did you mean '--family'?)"),
        (["demo", "--kep", "x"], "(did you mean '--keep'?)"),
        (["wait", "--timeout", "x"], "--timeout: expected a number, got 'x'"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_understood_is_bad_input(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == BAD_INPUT
    assert said in capsys.readouterr().err


def test_an_unknown_command_is_told_all_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["run2"])
    assert (
        "'run', 'check', 'demo', 'policy', 'certs', 'redirect'"
        in capsys.readouterr().err
    )


def test_the_status_of_a_command_is_the_status(tmp_path: Path) -> None:
    assert main(["check", str(tmp_path / "absent.yaml")]) == BAD_INPUT
    assert main(["certs", "init", "--dir", str(tmp_path)]) == DONE
    assert main(["certs", "init", "--dir", str(tmp_path)]) != DONE


# What each must not cost: start-up time, and in `run` the memory of every pod.
NOT_IMPORTED = {
    ("run", "--config", "absent"): {
        "rich",
        "sidecar.certs",
        "sidecar.commands.check",
        "sidecar.config.report",
        "sidecar.demo",
    },
    ("check", "absent"): {
        "h11",
        "http.server",
        "prometheus_client",
        "rich",
        "sidecar.admin",
        "sidecar.app",
        "sidecar.certs",
        "sidecar.demo",
    },
    ("policy", "explain", "absent"): {
        "OpenSSL",
        "h11",
        "prometheus_client",
        "rich",
        "sidecar.app",
        "sidecar.certs",
        "trio",
    },
    ("certs", "show", "absent"): {
        "h11",
        "prometheus_client",
        "rich",
        "sidecar.demo",
        "sidecar.proxy",
        "trio",
        "yaml",
    },
    ("redirect", "show"): {
        "cryptography",
        "prometheus_client",
        "rich",
        "sidecar.certs",
        "sidecar.proxy",
        "trio",
        "yaml",
    },
    ("inject", "--settings", "absent", "absent"): {
        "h11",
        "prometheus_client",
        "rich",
        "sidecar.admin",
        "sidecar.certs",
        "sidecar.proxy",
        "trio",
    },
    ("--version",): {"cryptography", "sidecar.certs.authority", "trio", "yaml"},
}


@pytest.mark.parametrize("command", NOT_IMPORTED, ids=lambda words: words[0])
def test_a_command_imports_only_what_it_runs(command: tuple[str, ...]) -> None:
    found = imported(*command)
    assert "sidecar.cli" in found
    assert found & NOT_IMPORTED[command] == set()


def test_a_reader_that_has_gone_is_no_traceback(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for arguments in (["--help"], ["check", "--json", tmp_path / "absent"]):
        ended = sidecar(*arguments, stdout=writer)
        assert (ended.returncode, ended.stderr) == (FAILED, "")
    os.close(writer)


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    ended = sidecar("check", "--json", tmp_path / "absent", stdout=full)
    os.close(full)
    assert ended.returncode == FAILED
    assert ended.stderr == "sidecar: standard output: No space left on device\n"
