from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from sidecar.commands.webhook_parser import add_parser

FILES = ("--settings", "s.yaml", "--cert", "tls.crt", "--key", "tls.key")


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(required=True))
    return parser.parse_args(["webhook", *words])


def test_three_files_are_enough() -> None:
    given = parse(*FILES)
    assert (given.settings, given.cert) == (Path("s.yaml"), Path("tls.crt"))
    assert (given.listen, given.telemetry) == ("0.0.0.0:15017", "0.0.0.0:15020")
    assert (given.fail, given.allow_readable_key) == ("closed", False)


def test_a_key_that_others_can_read_has_to_be_allowed() -> None:
    assert parse(*FILES, "--allow-readable-key").allow_readable_key


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse("--help")
    assert "sidecar webhook --settings injection.yaml" in capsys.readouterr().out
