from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.document import Items, Section
from sidecar.config.place import Finding, Index, Invalid
from sidecar.config.readers import (
    Reader,
    as_set,
    choice,
    listed,
    mapping,
    parsed,
    read_flag,
    read_name,
    read_path,
    read_text,
    seconds,
    whole,
    whole_key,
)


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


def listing(*values: object) -> Items:
    items = Items()
    items.extend(values)
    return items


def section(**values: object) -> Section:
    made = Section()
    made.update(values)
    return made


PORTS = listed(whole(1, 9), "ports", "leave the key out")
TO_NETWORK = parsed(int, "a number")


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        (read_text, "x", "x"),
        (read_name, "Rule.3_a-b", "Rule.3_a-b"),
        (read_name, "x" * 63, "x" * 63),
        (read_flag, False, False),
        (read_path, "a/b", Path("a/b")),
        (whole(1, 9), 1, 1),
        (whole(1, 9), 9, 9),
        (seconds(60), 0, 0.0),
        (seconds(60), 60, 60.0),
        (seconds(60, zero=False), 0.001, 0.001),
        (choice(Colour), "green", Colour.GREEN),
        (parsed(int, "a number"), "5", 5),
        (PORTS, listing(1, 2, 1), (1, 2, 1)),
        (listed(read_text, "words"), listing(), ()),
        (as_set(PORTS), listing(1, 2, 1), frozenset({1, 2})),
        (mapping(read_name, read_flag, "a to b"), section(x=True), {"x": True}),
        (mapping(read_name, read_flag, "a to b"), section(), {}),
    ],
)
def test_a_good_value_is_taken(
    read: Reader[Any], value: object, result: object
) -> None:
    taken = read(value, None)
    assert taken == result
    assert type(taken) is type(result)


@pytest.mark.parametrize(
    ("read", "value", "what"),
    [
        (read_text, "", "expected text, got ''"),
        (read_text, None, "expected text, got nothing"),
        (read_text, 5, "expected text, got 5 (put it in quotes)"),
        (read_text, True, "expected text, got true (put it in quotes)"),
        (read_text, section(), "expected text, got a mapping"),
        (
            read_name,
            "a b",
            "a name must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', '-', got 'a b'",
        ),
        (
            read_name,
            "x" * 64,
            f"a name must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', '-', got '{'x' * 64}'",
        ),
        *(
            (
                read_name,
                name,
                "must not be one of 'default', 'other', as metrics call what has no "
                f"name of its own, got '{name}'",
            )
            for name in ("default", "other")
        ),
        (read_flag, "yes", "expected true or false, got 'yes'"),
        (read_flag, 1, "expected true or false, got 1"),
        (read_flag, None, "expected true or false, got nothing"),
        (read_path, "", "expected the path of a file, got ''"),
        (read_path, None, "expected the path of a file, got nothing"),
        (read_path, listing(), "expected the path of a file, got a list"),
        (
            read_path,
            "-----BEGIN EC PRIVATE KEY-----",
            "expected the path of a file, got PEM text "
            "(write it to a file and name the file here)",
        ),
        (whole(1, 9), 0, "expected a whole number from 1 to 9, got 0"),
        (whole(1, 9), 10, "expected a whole number from 1 to 9, got 10"),
        (whole(1, 9), True, "expected a whole number from 1 to 9, got true"),
        (whole(1, 9), 1.0, "expected a whole number from 1 to 9, got 1.0"),
        (whole(1, 9), "x", "expected a whole number from 1 to 9, got 'x'"),
        (
            whole(1, 9),
            "5",
            "expected a whole number from 1 to 9, got '5' (remove the quotes)",
        ),
        (seconds(60), -1, "expected a number of seconds from 0 to 60, got -1"),
        (seconds(60), 60.1, "expected a number of seconds from 0 to 60, got 60.1"),
        (seconds(60), math.nan, "expected a number of seconds from 0 to 60, got nan"),
        (seconds(60), math.inf, "expected a number of seconds from 0 to 60, got inf"),
        (seconds(60), True, "expected a number of seconds from 0 to 60, got true"),
        (seconds(60), "10s", "expected a number of seconds from 0 to 60, got '10s'"),
        (
            seconds(60, zero=False),
            0,
            "expected a number of seconds above 0, up to 60, got 0",
        ),
        (
            choice(Colour),
            "gren",
            "expected one of 'red', 'green', got 'gren' (did you mean 'green'?)",
        ),
        (choice(Colour), True, "expected one of 'red', 'green', got true"),
        (choice(Colour), "blue", "expected one of 'red', 'green', got 'blue'"),
        (parsed(int, "a number"), 5, "expected a number, got 5"),
        (parsed(int, "a number"), "", "expected a number, got ''"),
        (
            parsed(int, "a number"),
            "x",
            "invalid literal for int() with base 10: 'x'",
        ),
        (PORTS, 5, "expected a list of ports, got 5 (write [5])"),
        (PORTS, "x", "expected a list of ports, got 'x' (write ['x'])"),
        (PORTS, None, "expected a list of ports, got nothing"),
        (PORTS, section(), "expected a list of ports, got a mapping"),
        (
            PORTS,
            listing(),
            "expected at least one, got an empty list (leave the key out)",
        ),
        (
            mapping(read_name, read_flag, "a to b"),
            listing(),
            "expected a mapping from a to b, got a list",
        ),
    ],
)
def test_a_bad_value_is_refused_by_its_rule(
    read: Reader[Any], value: object, what: str
) -> None:
    with pytest.raises(Invalid) as caught:
        read(value, None)
    assert caught.value.findings == (Finding((), what),)


def test_every_bad_item_is_found() -> None:
    with pytest.raises(Invalid) as caught:
        listed(whole(1, 9), "ports")(listing(0, 5, 10), None)
    places = [finding.place for finding in caught.value.findings]
    assert places == [(Index(0),), (Index(2),)]


def test_bad_keys_and_bad_values_are_found_at_the_key() -> None:
    made = section(x="yes", good=True)
    made["b d"] = True
    with pytest.raises(Invalid) as caught:
        mapping(read_name, read_flag, "a to b")(made, None)
    assert [finding.place for finding in caught.value.findings] == [("x",), ("b d",)]


@pytest.mark.parametrize("key", [80, "80"], ids=repr)
def test_a_number_is_a_key_with_or_without_quotes(key: object) -> None:
    assert whole_key(1, 65535)(key, None) == 80


@pytest.mark.parametrize("key", ["080", "0", "65536", "x", "", "٨٠", True])
def test_no_other_text_is_a_key(key: object) -> None:
    with pytest.raises(Invalid, match="expected a whole number from 1 to 65535"):
        whole_key(1, 65535)(key, None)


def test_a_key_that_is_there_in_two_spellings_is_a_duplicate() -> None:
    entries = Section()
    entries.update({80: True, "80": False})
    with pytest.raises(Invalid, match="duplicate key '80'"):
        mapping(whole_key(1, 9999), read_flag, "ports to flags")(entries, None)
