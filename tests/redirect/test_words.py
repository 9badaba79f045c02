from __future__ import annotations

import shlex

import pytest
from hypothesis import given, strategies as st

from sidecar.redirect.words import _words, canonical, target

WRITTEN = "-A OUTPUT -p tcp -m comment --comment sidecar/outbound -j SIDECAR_OUTBOUND"


@pytest.mark.parametrize(
    "same",
    [
        WRITTEN.replace("sidecar/outbound", '"sidecar/outbound"'),
        "-A OUTPUT -m comment --comment sidecar/outbound -p tcp -j SIDECAR_OUTBOUND",
        WRITTEN.replace("-p tcp", "-p tcp -m tcp"),
        WRITTEN.replace("-p tcp", "-d 0.0.0.0/0 -p tcp -s ::/0"),
    ],
)
def test_spelling_makes_no_difference(same: str) -> None:
    assert canonical(same) == canonical(WRITTEN)


@pytest.mark.parametrize(
    "other",
    [
        WRITTEN.replace("-p tcp", "! -p tcp"),
        WRITTEN.replace("-p tcp", "-p udp"),
        WRITTEN.replace("-p tcp ", ""),
        WRITTEN.replace("-j", "-g"),
        WRITTEN + " --random",
        WRITTEN.replace("-p tcp", "! -d 0.0.0.0/0 -p tcp"),
        WRITTEN.replace("-p tcp", "-d 0.0.0.0/1 -p tcp"),
        WRITTEN.replace("-p tcp", "-d somewhere -p tcp"),
    ],
)
def test_a_difference_makes_one(other: str) -> None:
    assert canonical(other) != canonical(WRITTEN)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-d ::1.2.3.4", "-d ::102:304/128"),
        ("-s 10.0.0.1", "-s 10.0.0.1/32"),
        ("! -d FD00::0/8", "! -d fd00::/8"),
    ],
)
def test_an_address_is_the_same_however_it_is_written(one: str, other: str) -> None:
    assert canonical(f"-A X {one} -j Y") == canonical(f"-A X {other} -j Y")


def test_the_target_is_found() -> None:
    assert target(WRITTEN) == "SIDECAR_OUTBOUND"
    assert target("-A OUTPUT -g X") == "X"
    assert target("-A OUTPUT -j") is None
    assert target('-A OUTPUT -m comment --comment "-j SIDECAR_OUTBOUND"') is None
    assert target('-A OUTPUT --comment "open') is None


@given(st.text())
def test_any_text_is_compared_without_an_error(text: str) -> None:
    assert canonical(text) == canonical(text)
    target(text)


@given(st.text(st.sampled_from(" \t\n-ab\"'\\\u00a0\u2028#!")))
def test_words_are_those_of_a_shell(text: str) -> None:
    try:
        expected = shlex.split(text)
    except ValueError:
        with pytest.raises(ValueError, match="No "):
            _words(text)
    else:
        assert _words(text) == expected
