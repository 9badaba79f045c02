"""What `sidecar certs` is called and takes."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.certs.command import add_parser
from tests.certs.commands import certs


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sidecar")
    add_parser(parser.add_subparsers(required=True))
    return parser.parse_args(["certs", *arguments])


def test_init_has_defaults_for_everything() -> None:
    arguments = parsed("init")
    assert arguments.trust_domain == "example.org"
    assert arguments.dir == Path("certs-dev")
    assert arguments.lifetime.days == 30
    assert not arguments.force


def test_issue_takes_a_spiffe_id() -> None:
    arguments = parsed("issue", "spiffe://example.org/a", "--dns", "a", "--dns", "b")
    assert arguments.spiffe_id == "spiffe://example.org/a"
    assert arguments.dns == ["a", "b"]
    assert arguments.out is None
    assert arguments.lifetime.total_seconds() == 3600


@pytest.mark.parametrize("command", ["init", "issue", "show"])
def test_each_command_names_the_module_that_runs_it(command: str) -> None:
    needed = {"issue": ["spiffe://example.org/a"], "show": ["file"]}
    module = importlib.import_module(parsed(command, *needed.get(command, [])).command)
    assert callable(module.main)


@pytest.mark.parametrize("command", [(), ("init",), ("issue",), ("show",)])
def test_help_has_examples(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        certs(*command, "--help")
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "examples:" in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("issue",),
        ("show",),
        ("init", "--lifetime", "soon"),
    ],
)
def test_wrong_arguments_exit_with_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        certs(*arguments)
    assert caught.value.code == 2
    assert "usage: sidecar certs" in capsys.readouterr().err


def test_a_lifetime_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        certs("init", "--lifetime", "soon")
    assert "must be a number and s, m, h or d" in capsys.readouterr().err


def test_to_know_the_commands_costs_no_cryptography() -> None:
    code = (
        "import sys, sidecar.certs.command; "
        "sys.exit('cryptography' in sys.modules or 'attrs' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
