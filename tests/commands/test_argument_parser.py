from __future__ import annotations

import argparse
from enum import StrEnum
from typing import Any

import pytest

from sidecar.commands.argument_parser import Parser


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


def seconds(text: str) -> float:
    raise argparse.ArgumentTypeError(f"expected seconds, got {text!r}")


@pytest.fixture(scope="module")
def parser() -> Parser:
    made = Parser(prog="x")
    made.add_argument("--verbose", action="store_true")
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    paint = commands.add_parser("paint")
    paint.add_argument("--colour", type=Colour, choices=[*Colour])
    paint.add_argument("--coats", type=int)
    paint.add_argument("--size", type=float, required=True)
    paint.add_argument("--for", type=seconds, dest="how_long")
    paint.add_argument("what", nargs="?")
    tools = commands.add_parser("tools").add_subparsers(metavar="COMMAND")
    tools.add_parser("brush")
    commands.add_parser("wait")
    return made


def said(parser: Parser, words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        parser.parse(words.split())
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_what_can_be_understood_is(parser: Parser) -> None:
    words = ["paint", "--colour", "red", "--coats=2", "--size", "1", "--", "--door"]
    found = vars(parser.parse(words))
    expected: dict[str, Any] = {"colour": Colour.RED, "coats": 2, "size": 1.0}
    assert found.items() >= {**expected, "what": "--door"}.items()
    assert parser.parse(["paint", "--size", "1", "--a b"]).what == "--a b"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "pain",
            "x: COMMAND: expected one of 'paint', 'tools', 'wait', got 'pain' "
            "(did you mean 'paint'?)",
        ),
        ("tools bruhs", "x tools: COMMAND: expected one of 'brush', got 'bruhs' (did"),
        ("brush", "got 'brush' (did you mean 'tools brush'?)"),
        ("elephant", "x: COMMAND: expected one of 'paint', 'tools', 'wait', got 'ele"),
        ("paint --size 1 --coats x", "x paint: --coats: expected a whole number, got"),
        ("paint --size x", "x paint: --size: expected a number, got 'x'"),
        ("paint --size 1 --for x", "x paint: --for: expected seconds, got 'x'"),
        (
            "paint --size 1 --colour rde",
            "x paint: --colour: expected one of 'red', 'green', got 'rde' "
            "(did you mean 'red'?)",
        ),
        ("paint --size", "x paint: --size: expected one argument"),
        ("paint", "x paint: the following arguments are required: --size"),
        ("paint --size 1 a b", "x paint: expected no more arguments, got 'b'"),
        (
            "paint --sise=1 --colors red",
            "x paint: --sise: there is no such option (did you mean '--size'?); "
            "--colors: there is no such option (did you mean '--colour'?)",
        ),
        ("--verbos", "x: --verbos: there is no such option (did you mean '--verbose'"),
        ("paint --quux", "x paint: --quux: there is no such option\n"),
    ],
)
def test_what_cannot_is_told_with_place_rule_value_and_remedy(
    parser: Parser, words: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in said(parser, words, capsys)


def test_the_last_line_says_where_to_look(
    parser: Parser, capsys: pytest.CaptureFixture[str]
) -> None:
    first, last = said(parser, "paint --quux", capsys).splitlines()
    assert first.startswith("x paint: ")
    assert last == "(see 'x paint --help')"


def test_no_option_may_be_abbreviated(
    parser: Parser, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--siz: there is no such option" in said(parser, "paint --siz 1", capsys)
