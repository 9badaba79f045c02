from __future__ import annotations

from typing import Any

import pytest
from attrs import frozen

from sidecar.config.document import Items
from sidecar.config.place import Finding, Invalid
from sidecar.config.readers import Reader, read_flag, read_text, whole
from sidecar.config.structure import reader_of
from sidecar.config.yaml_document import parse_document


@frozen
class Door:
    name: str
    height: int = 2
    open: bool = False


def too_high(door: Door) -> list[Finding]:
    return [Finding(("height",), "too high")] if door.height == 9 else []


READERS: dict[str, Reader[Any]] = {
    "name": read_text,
    "height": whole(1, 9),
    "open": read_flag,
}
read_door = reader_of(Door, READERS, too_high)


def refusal(text: str) -> set[tuple[object, str]]:
    with pytest.raises(Invalid) as caught:
        read_door(parse_document(text.encode(), "s").root, None)
    return {(finding.place, finding.what) for finding in caught.value.findings}


def test_a_key_that_is_left_out_has_its_default() -> None:
    assert read_door(parse_document(b"name: x", "s").root, None) == Door("x")


def test_every_key_is_taken() -> None:
    root = parse_document(b"open: true\nheight: 3\nname: x", "s").root
    assert read_door(root, None) == Door("x", 3, open=True)


def test_all_that_is_wrong_with_the_keys_is_found() -> None:
    assert refusal("hight: 3\nopen: 1\nheight: 0\n5: x") == {
        (("name",), "missing"),
        (("open",), "expected true or false, got 1"),
        (("height",), "expected a whole number from 1 to 9, got 0"),
        (("hight",), "unknown key 'hight' (did you mean 'height'?)"),
        ((5,), "unknown key 5"),
    }


def test_the_rule_is_asked_when_every_key_is_good() -> None:
    assert refusal("name: x\nheight: 9") == {(("height",), "too high")}
    assert refusal("name: 1\nheight: 9") == {
        (("name",), "expected text, got 1 (put it in quotes)")
    }


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (
            None,
            "expected a mapping, got nothing (leave the key out for its defaults)",
        ),
        (5, "expected a mapping, got 5"),
        (Items(), "expected a mapping, got a list"),
    ],
)
def test_what_is_no_mapping_is_refused(value: object, what: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_door(value, None)
    assert caught.value.findings == (Finding((), what),)


def test_a_bug_in_a_reader_or_a_class_is_not_taken_for_bad_input() -> None:
    def buggy(_value: object, _type: object = None) -> int:
        raise ZeroDivisionError

    @frozen
    class Trap:
        name: str

        def __attrs_post_init__(self) -> None:
            raise ZeroDivisionError

    root = parse_document(b"name: x", "s").root
    with pytest.raises(ZeroDivisionError):
        reader_of(Trap, {"name": buggy})(root, None)
    with pytest.raises(ZeroDivisionError):
        reader_of(Trap, {"name": read_text})(root, None)
