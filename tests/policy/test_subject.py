"""The text of a subject's attributes, by RFC 4514."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from sidecar.policy.subject import (
    ATTRIBUTE_TYPES,
    SubjectError,
    format_subject,
    parse_subject,
)

attributes = st.tuples(
    st.sampled_from([*ATTRIBUTE_TYPES, "1.3.6.1.4.1.99999.1"]),
    st.text(min_size=1) | st.text(' "#+,;<=>\\aA0\n\ud800', min_size=1),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("OU=web", {("OU", "web")}),
        ("OU=web,O=Acme", {("OU", "web"), ("O", "Acme")}),
        ("OU=web, O=Acme ", {("OU", "web"), ("O", "Acme")}),
        ("OU=web,OU=front", {("OU", "web"), ("OU", "front")}),
        ("OU=web,OU=web", {("OU", "web")}),
        ("ou=web", {("OU", "web")}),
        ("2.5.4.11=web", {("OU", "web")}),
        ("1.3.6.1.4.1.99999.1=x", {("1.3.6.1.4.1.99999.1", "x")}),
        ("O=Acme\\, Inc.", {("O", "Acme, Inc.")}),
        ("CN=a=b", {("CN", "a=b")}),
        ("CN=a\\=b", {("CN", "a=b")}),
        ("CN=a\\\\,O=b", {("CN", "a\\"), ("O", "b")}),
        ("CN=C\\+\\+", {("CN", "C++")}),
        ("CN=Lu\\C4\\8Di\\C4\\87", {("CN", "Lučić")}),
        ("CN=Lučić", {("CN", "Lučić")}),
        ("CN=\\ a\\ ", {("CN", " a ")}),
        ("CN=a b", {("CN", "a b")}),
        ("CN=#0401", {("CN", "#0401")}),
    ],
)
def test_attributes_are_read(text: str, expected: set[tuple[str, str]]) -> None:
    assert parse_subject(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a subject is written ATTRIBUTE=VALUE,ATTRIBUTE=VALUE, and a comma"),
        ("web", "got 'web'"),
        ("O=Acme, Inc.", "and a comma inside a value as '\\,', got ' Inc.'"),
        ("EMAIL=a@b", "UID or a dotted OID, got 'EMAIL'"),
        ("=web", "or a dotted OID, got ''"),
        ("9.9.9=web", "or a dotted OID, got '9.9.9'"),
        ("OU=", "value must not be empty, got ''"),
        ("OU=  ", "value must not be empty, got ''"),
        ("OU=web+O=Acme", "a backslash before each of '\"', '+', ';'"),
        ("CN=a\\", "got 'a\\\\'"),
        ("CN=a\\z", "got 'a\\\\z'"),
        ("CN=\\FF", "hexadecimal escapes must be UTF-8, got '\\\\FF'"),
    ],
)
def test_a_broken_list_is_refused_with_the_rule_and_the_value(
    text: str, message: str
) -> None:
    with pytest.raises(SubjectError, match=re.escape(message)):
        parse_subject(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("web", "web"),
        ("Acme, Inc.", "Acme\\, Inc."),
        (" ", "\\ "),
        ("  a  b  ", "\\  a  b \\ "),
        ("a\nb\0", "a\\0Ab\\00"),
        ('"+,;<=>\\', '\\"\\+\\,\\;\\<=\\>\\\\'),
    ],
)
def test_a_value_is_written_with_its_escapes(value: str, text: str) -> None:
    assert format_subject([("CN", value)]) == f"CN={text}"


def test_attributes_are_written_in_one_order() -> None:
    assert format_subject({("OU", "b"), ("O", "c"), ("OU", "a")}) == "O=c,OU=a,OU=b"


@given(st.frozensets(attributes, min_size=1))
def test_what_is_written_is_read_again(subject: frozenset[tuple[str, str]]) -> None:
    assert parse_subject(format_subject(subject)) == subject


@given(st.text() | st.text('OU=CN,\\+ #"F08a'))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        subject = parse_subject(text)
    except SubjectError:
        return
    assert parse_subject(format_subject(subject)) == subject
