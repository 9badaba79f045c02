from __future__ import annotations

import re

import pytest

from sidecar.config.shape import TEXT, matching, shape_of, shaped


def read(value: object, _type: object = None) -> object:
    return value


def test_a_reader_has_the_shape_that_was_said_of_it() -> None:
    assert shaped(read, TEXT) is read
    assert shape_of(read) == {"type": "string", "minLength": 1}


def test_a_shape_can_be_made_when_it_is_asked_for() -> None:
    assert shape_of(shaped(lambda _: None, lambda: TEXT)) is TEXT


def test_a_reader_of_which_nothing_was_said_is_named() -> None:
    def read_mine(value: object) -> object:
        return value

    with pytest.raises(LookupError, match="read_mine: its shape is not said"):
        shape_of(read_mine)


def test_a_pattern_describes_the_whole_text() -> None:
    pattern = re.compile(matching("a|b")["pattern"])
    assert pattern.search("a")
    assert not pattern.search("ab")
