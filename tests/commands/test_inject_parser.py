from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from sidecar.commands.inject_parser import add_inject_parser, add_uninject_parser


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    add_inject_parser(commands)
    add_uninject_parser(commands)
    return parser.parse_args(words)


def test_without_a_file_it_reads_its_input() -> None:
    arguments = parse("inject", "--settings", "s.yaml")
    assert arguments.settings == Path("s.yaml")
    assert arguments.files == [Path("-")]
    assert (arguments.output, arguments.patch) == (None, False)


def test_files_and_where_to_write_are_given() -> None:
    arguments = parse("uninject", "a.yaml", "-", "-o", "b.yaml")
    assert arguments.files == [Path("a.yaml"), Path("-")]
    assert arguments.output == Path("b.yaml")
    assert (arguments.settings, arguments.patch) == (None, False)


def test_there_is_no_injection_without_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("inject", "a.yaml")
    assert "--settings" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["inject", "uninject"])
def test_the_help_has_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse(command, "--help")
    assert "kubectl apply -f -" in capsys.readouterr().out
