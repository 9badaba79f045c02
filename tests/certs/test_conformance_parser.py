"""What `sidecar certs conformance` takes."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from sidecar.certs.conformance_parser import add_conformance


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sidecar certs")
    add_conformance(parser.add_subparsers(required=True))
    return parser.parse_args(["conformance", *arguments])


def test_everything_has_a_default() -> None:
    arguments = parsed()
    assert arguments.target is None
    assert arguments.state == Path("conformance-dev")
    assert (arguments.timeout, arguments.settle, arguments.at_once) == (10, 1, 8)
    assert (arguments.send, arguments.expect) == (b"", b"")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (r"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"),
        (r"\x00\xff", b"\x00\xff"),
        ("ü", b"\xfc"),
        ("plain", b"plain"),
    ],
)
def test_what_is_sent_has_escapes(text: str, meant: bytes) -> None:
    assert parsed("--send", text).send == meant


@pytest.mark.parametrize(
    "arguments",
    [
        ("--timeout", "0"),
        ("--timeout", "nan"),
        ("--settle", "soon"),
        ("--settle", "3601"),
        ("--at-once", "0"),
        ("--at-once", "65"),
        ("--at-once", "²"),
        ("--send", r"\x"),
        ("--send", "€"),
    ],
)
def test_what_is_out_of_bounds_is_refused(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed(*arguments)
    assert caught.value.code == 2
    assert f"argument {arguments[0]}: expected " in capsys.readouterr().err


def test_help_says_in_which_order(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    printed = capsys.readouterr().out
    assert "First without --target" in printed
    assert r"\r\n\r\n" in printed
    assert max(map(len, printed.splitlines())) <= 80
