"""Patterns of peers: what they match, how they are written, what is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.pattern import (
    DnsPattern,
    PatternError,
    SpiffePattern,
    SubjectPattern,
    Unauthenticated,
    parent_of,
    parse_pattern,
)

LEGACY = CertificateNames(
    dns=frozenset({"a.example.org", "b.c.example.net"}),
    subject=(("C", "CH"), ("O", "Acme"), ("OU", "web"), ("OU", "front")),
)
CART = SpiffeId.parse("spiffe://example.org/ns/shop/sa/cart")


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/ns/shop/sa/cart", "/ns/shop/sa/cart", True),
        ("/ns/shop/sa/cart", "/ns/shop/sa/Cart", False),
        ("/ns/shop/sa/cart", "/ns/shop/sa", False),
        ("/ns/shop/sa/cart", "/ns/shop/sa/cart/v2", False),
        ("/ns/*/sa/cart", "/ns/shop/sa/cart", True),
        ("/ns/*/sa/cart", "/ns/shop/x/sa/cart", False),
        ("/ns/*/sa/cart", "/ns/sa/cart", False),
        ("/ns/shop/sa/*", "/ns/shop/sa/cart", True),
        ("/ns/shop/sa/*", "/ns/shop/sa", False),
        ("/*/*/*/*", "/ns/shop/sa/cart", True),
        ("/*", "/a", True),
        ("/*", "/a/b", False),
        ("/ns/shop/**", "/ns/shop", False),
        ("/ns/shop/**", "/ns/shop/sa", True),
        ("/ns/shop/**", "/ns/shop/sa/cart", True),
        ("/ns/shop/**", "/ns/shopping/sa/cart", False),
        ("/*/shop/**", "/ns/shop/sa/cart", True),
        ("/*/**", "/ns", False),
        ("/**", "/a", True),
        ("/**", "/a/b/c", True),
    ],
)
def test_a_path_matches_segment_by_segment(
    pattern: str, path: str, expected: bool
) -> None:
    peer = SpiffeId("example.org", path)
    assert parse_pattern(f"spiffe://example.org{pattern}").matches(peer) is expected
    assert not parse_pattern(f"spiffe://partner.test{pattern}").matches(peer)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("dns:a.example.org", True),
        ("dns:A.Example.ORG", True),
        ("dns:b.c.example.net", True),
        ("dns:example.org", False),
        ("dns:*.example.org", True),
        ("dns:*.c.example.net", True),
        ("dns:*.example.net", False),
        ("dns:*.org", False),
        ("subject:OU=web", True),
        ("subject:OU=front,O=Acme", True),
        ("subject:O=Acme,OU=front,OU=web,C=CH", True),
        ("subject:OU=Web", False),
        ("subject:OU=web,O=Evil", False),
        ("subject:CN=web", False),
        ("unauthenticated", False),
        ("spiffe://example.org/**", False),
    ],
)
def test_a_certificate_without_a_spiffe_id_is_known_by_its_names(
    pattern: str, expected: bool
) -> None:
    assert parse_pattern(pattern).matches(LEGACY) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "spiffe://example.org/**",
        "dns:a.example.org",
        "dns:*.example.org",
        "subject:OU=web",
        "unauthenticated",
    ],
)
def test_a_pattern_matches_peers_of_its_own_kind_only(pattern: str) -> None:
    parsed = parse_pattern(pattern)
    assert parsed.matches(None) is (pattern == "unauthenticated")
    assert parsed.matches(CART) is pattern.startswith("spiffe")
    assert parsed.matches(LEGACY) is pattern.startswith(("dns", "subject"))


def test_a_wildcard_in_a_certificate_stands_for_nothing() -> None:
    peer = CertificateNames(frozenset({"*.example.org"}), ())
    assert not parse_pattern("dns:a.example.org").matches(peer)
    assert parse_pattern("dns:*.example.org").matches(peer)


@pytest.mark.parametrize(
    ("name", "parent"),
    [("a.b.c", "b.c"), ("a", ""), ("", ""), (".b.c", ""), ("a.", "")],
)
def test_the_parent_of_a_name_is_what_follows_its_first_label(
    name: str, parent: str
) -> None:
    assert parent_of(name) == parent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "spiffe://example.org/ns/*/sa/**",
            SpiffePattern("example.org", ("ns", "*", "sa"), rest=True),
        ),
        ("spiffe://example.org/**", SpiffePattern("example.org", (), rest=True)),
        ("spiffe://example.org/a", SpiffePattern("example.org", ("a",))),
        ("dns:a.b", DnsPattern("a.b")),
        ("dns:*.b", DnsPattern("b", any_label=True)),
        ("dns:_x--1.b", DnsPattern("_x--1.b")),
        (
            "subject:O=Acme,OU=web",
            SubjectPattern(frozenset({("OU", "web"), ("O", "Acme")})),
        ),
        ("unauthenticated", Unauthenticated()),
    ],
)
def test_a_pattern_is_written_as_it_is_read(text: str, expected: object) -> None:
    assert parse_pattern(text) == expected
    assert str(expected) == text


def test_a_pattern_is_as_long_as_a_spiffe_id_at_most() -> None:
    text = f"spiffe://example.org/{'a' * 2024}/**"
    assert str(parse_pattern(text)) == text
    with pytest.raises(PatternError, match="at most 2048 bytes, got 2049"):
        parse_pattern(text.replace("/**", "a/**"))


def test_one_pattern_has_one_text() -> None:
    assert str(parse_pattern("dns:A.B")) == "dns:a.b"
    assert str(parse_pattern("subject:ou=web, 2.5.4.10=x")) == "subject:O=x,OU=web"
    assert parse_pattern("subject:O=x,OU=y") == parse_pattern("subject:OU=y,O=x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spiffe://*/ns/shop", "a trust domain has no wildcard, write one pattern"),
        ("spiffe://*.org/ns/shop", "got 'spiffe://*.org/ns/shop'"),
        ("spiffe://example.org", "must have a path, '/**' for any below 'example.org'"),
        ("spiffe://example.org/", "must have a path"),
        ("spiffe://example.org/a/**/b", "'**' must be the last segment, '*' stands"),
        ("spiffe://example.org/**/**", "'**' must be the last segment"),
        ("spiffe://example.org/a/b*", "a wildcard must be a whole segment, '*' for"),
        ("spiffe://example.org/a/***", "a wildcard must be a whole segment"),
        ("spiffe://Example.org/a", "trust domain must be of a-z, 0-9, '.', '-' and"),
        ("spiffe:///a", "trust domain must not be empty, got ''"),
        ("spiffe://Example.org/**", "trust domain must be of a-z"),
        ("spiffe://example.org/a/", "no trailing '/', got '/a/'"),
        ("spiffe://example.org//**", "path must have no empty"),
        ("spiffe://example.org/*/a b", "'.', '-' and '_', got 'a b'"),
        (f"spiffe://example.org/{'a' * 2048}", "must be at most 2048 bytes, got 2069"),
        ("dns:", "must be a DNS name, labels of a-z, 0-9, '-' and '_'"),
        ("dns:a..b", "got 'dns:a..b'"),
        ("dns:a.b.", "got 'dns:a.b.'"),
        ("dns:-a.b", "got 'dns:-a.b'"),
        ("dns:\u212a.b", "in their xn-- form), got 'dns:\u212a.b'"),
        (f"dns:{'a' * 64}", "must be a DNS name"),
        (f"dns:{'a.' * 126}bc", "must be a DNS name"),
        ("dns:*", "'*' must be the leftmost label of a longer name, as in"),
        ("dns:*.", "must be a DNS name"),
        ("dns:a.*.b", "'*' must be the leftmost label"),
        ("dns:*.*.b", "'*' must be the leftmost label"),
        ("subject:", "a subject is written ATTRIBUTE=VALUE"),
        ("subject:OU", "a subject is written ATTRIBUTE=VALUE"),
    ],
)
def test_a_broken_pattern_is_refused_with_the_rule_and_the_value(
    text: str, message: str
) -> None:
    with pytest.raises(PatternError, match=re.escape(message)) as caught:
        parse_pattern(text)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("example.org/ns/shop", "spiffe://example.org/ns/shop"),
        ("https://example.org/ns/shop", "spiffe://example.org/ns/shop"),
        ("SPIFFE://example.org/ns/shop", "spiffe://example.org/ns/shop"),
        (" spiffe://example.org/ns/shop", "spiffe://example.org/ns/shop"),
        ("Unauthenticated", "unauthenticated"),
        ("DNS:a.example.org", "dns:a.example.org"),
        ("a.example.org", "dns:a.example.org"),
        ("OU=web", "subject:OU=web"),
    ],
)
def test_a_pattern_of_no_kind_is_refused_with_what_was_meant(
    text: str, meant: str
) -> None:
    message = (
        "must start with 'spiffe://', 'dns:' or 'subject:', or be 'unauthenticated', "
        f"got {text!r}, did you mean {meant!r}?"
    )
    with pytest.raises(PatternError, match=re.escape(message)):
        parse_pattern(text)


@pytest.mark.parametrize("text", ["", "frontend", "/ns/shop", "spiffe:", "a..b"])
def test_nothing_is_suggested_that_would_be_refused_too(text: str) -> None:
    with pytest.raises(PatternError, match=f"got {re.escape(repr(text))}$"):
        parse_pattern(text)


@pytest.mark.parametrize("text", ["*", "**"])
def test_a_pattern_for_everybody_is_refused_with_the_nearest_there_is(
    text: str,
) -> None:
    with pytest.raises(PatternError, match="for every peer of a trust domain write"):
        parse_pattern(text)


@given(
    st.text()
    | st.builds(
        str.__add__,
        st.sampled_from(["spiffe://", "spiffe://a.b/", "dns:", "dns:*.", "subject:O="]),
        st.text() | st.text("ab/*.,=\\+"),
    )
)
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        pattern = parse_pattern(text)
    except PatternError:
        return
    assert parse_pattern(str(pattern)) == pattern
