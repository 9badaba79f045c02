"""SPIFFE IDs by the clauses of the SPIFFE-ID standard, section 2."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given, strategies as st

from sidecar.identity.spiffe_id import (
    MAX_LENGTH,
    SpiffeId,
    SpiffeIdError,
    parse_trust_domain,
    parse_trust_domain_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TRUST_DOMAIN_CHARACTERS = string.ascii_lowercase + string.digits + "._-"
PATH_CHARACTERS = TRUST_DOMAIN_CHARACTERS + string.ascii_uppercase
BYTES = [chr(byte) for byte in range(256)]

trust_domains = st.text(TRUST_DOMAIN_CHARACTERS, min_size=1, max_size=255)
segments = st.text(PATH_CHARACTERS, min_size=1, max_size=30).filter(
    lambda segment: segment not in {".", ".."}
)
spiffe_ids = st.builds(
    lambda trust_domain, parts: f"spiffe://{trust_domain}/{'/'.join(parts)}",
    trust_domains,
    st.lists(segments, min_size=1, max_size=8),
)


@pytest.mark.parametrize(
    ("text", "trust_domain", "path"),
    [
        ("spiffe://example.org/ns/shop/sa/cart", "example.org", "/ns/shop/sa/cart"),
        ("spiffe://example.org/a", "example.org", "/a"),
        ("spiffe://10.0.0.1/a", "10.0.0.1", "/a"),  # 2.1: IPv4 fits
        ("spiffe://a_b-c.d/A.b-C_9", "a_b-c.d", "/A.b-C_9"),
        ("spiffe://-/-", "-", "/-"),  # 2.1: not only DNS names
        ("spiffe://../a", "..", "/a"),  # 2.2 speaks of path segments alone
        ("spiffe://example.org/...", "example.org", "/..."),  # 2.2: not relative
        ("spiffe://example.org/.a/b.", "example.org", "/.a/b."),
    ],
)
def test_a_spiffe_id_is_split_and_prints_as_written(
    text: str, trust_domain: str, path: str
) -> None:
    spiffe_id = SpiffeId.parse(text)
    assert (spiffe_id.trust_domain, spiffe_id.path) == (trust_domain, path)
    assert str(spiffe_id) == text
    assert "/" + "/".join(spiffe_id.segments) == path


BROKEN = [
    ("2", "", "must start with 'spiffe://'"),
    ("2", "example.org/a", "must start with"),
    ("2", "spiffe:example.org/a", "must start with"),
    ("2", "spiffe:/example.org/a", "must start with"),
    ("2", "https://example.org/a", "must start with"),
    ("2", "spiffes://example.org/a", "must start with"),
    ("2", " spiffe://example.org/a", "must start with"),
    ("2.4", "SPIFFE://example.org/a", "must start with"),
    ("2", "spiffe://example.org/a?b", "path segment"),
    ("2", "spiffe://example.org/a?", "path segment"),
    ("2", "spiffe://example.org/a#b", "path segment"),
    ("2", "spiffe://example.org/a#", "path segment"),
    ("2", "spiffe://example.org?a/b", "trust domain"),
    ("2", "spiffe://example.org#a/b", "trust domain"),
    ("2.1", "spiffe:///a", "trust domain must not be empty"),
    ("2.1", "spiffe://user@example.org/a", "trust domain"),
    ("2.1", "spiffe://user:word@example.org/a", "trust domain"),
    ("2.1", "spiffe://@example.org/a", "trust domain"),
    ("2.1", "spiffe://example.org:443/a", "trust domain"),
    ("2.1", "spiffe://example.org:/a", "trust domain"),
    ("2.1", "spiffe://Example.org/a", "trust domain"),
    ("2.1", "spiffe://example.ORG/a", "trust domain"),
    ("2.1", "spiffe://ex%61mple.org/a", "trust domain"),
    ("2.1", "spiffe://[::1]/a", "trust domain"),
    ("2.1", "spiffe://ex ample.org/a", "trust domain"),
    ("2.1", "spiffe://exämple.org/a", "trust domain"),
    ("2.1", "spiffe://example.org\n/a", "trust domain"),
    ("2.1", "spiffe://example.org\\a", "trust domain"),
    ("2.2", "spiffe://example.org/ns/sh%6fp", "path segment"),
    ("2.2", "spiffe://example.org/a%2fb", "path segment"),
    ("2.2", "spiffe://example.org//a", "no empty"),
    ("2.2", "spiffe://example.org/a//b", "no empty"),
    ("2.2", "spiffe://example.org/./a", "no empty"),
    ("2.2", "spiffe://example.org/a/.", "no empty"),
    ("2.2", "spiffe://example.org/../a", "no empty"),
    ("2.2", "spiffe://example.org/a/..", "no empty"),
    ("2.2", "spiffe://example.org/", "trailing"),
    ("2.2", "spiffe://example.org/a/", "trailing"),
    ("2.2", "spiffe://example.org/a b", "path segment"),
    ("2.2", "spiffe://example.org/ä", "path segment"),
    ("2.2", "spiffe://example.org/a\n", "path segment"),
    ("2.2", "spiffe://example.org/a\x00", "path segment"),
    ("2.2", "spiffe://example.org/a:b", "path segment"),
    ("2.3", f"spiffe://{'a' * 256}/a", "at most 255 bytes"),
    ("2.3", f"spiffe://example.org/{'a' * 2028}", "at most 2048 bytes"),
    ("X509-SVID 3.1", "spiffe://example.org", "must have a path"),
]


@pytest.mark.parametrize(("clause", "text", "rule"), BROKEN)
def test_a_broken_clause_is_named(clause: str, text: str, rule: str) -> None:
    with pytest.raises(SpiffeIdError, match=rule):
        SpiffeId.parse(text)


@pytest.mark.parametrize("character", BYTES)
def test_each_byte_is_in_a_trust_domain_or_refused(character: str) -> None:
    """SPIFFE-ID 2.1; a slash ends the trust domain, so it is asked of the name."""
    if character in TRUST_DOMAIN_CHARACTERS:
        assert parse_trust_domain(f"a{character}b") == f"a{character}b"
    else:
        with pytest.raises(SpiffeIdError, match="trust domain must be of"):
            parse_trust_domain(f"a{character}b")


@pytest.mark.parametrize("character", BYTES)
def test_each_byte_is_in_a_path_or_refused(character: str) -> None:
    """SPIFFE-ID 2.2; a slash is the separator."""
    text = f"spiffe://example.org/a{character}b"
    if character in PATH_CHARACTERS + "/":
        assert str(SpiffeId.parse(text)) == text
    else:
        with pytest.raises(SpiffeIdError, match="path segment"):
            SpiffeId.parse(text)


def test_the_longest_spiffe_id_is_2048_bytes() -> None:
    """SPIFFE-ID 2.3."""
    longest = "spiffe://example.org/".ljust(MAX_LENGTH, "a")
    assert str(SpiffeId.parse(longest)) == longest
    with pytest.raises(SpiffeIdError, match="2048"):
        SpiffeId.parse(longest + "a")


def test_the_longest_trust_domain_is_255_bytes() -> None:
    """SPIFFE-ID 2.3."""
    assert SpiffeId.parse(f"spiffe://{'a' * 255}/a").trust_domain == "a" * 255
    with pytest.raises(SpiffeIdError, match="255"):
        SpiffeId.parse(f"spiffe://{'a' * 256}/a")


@pytest.mark.parametrize("trust_domain", ["example.org", "a", "10.0.0.1", "a_b-c.d"])
def test_a_trust_domain_has_an_id_of_its_own(trust_domain: str) -> None:
    assert parse_trust_domain(trust_domain) == trust_domain
    assert parse_trust_domain_id(f"spiffe://{trust_domain}") == trust_domain


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("spiffe://example.org/", "must have no path"),
        ("spiffe://example.org/ca", "must have no path"),
        ("spiffe://", "must not be empty"),
        ("spiffe://Example.org", "trust domain must be of"),
        ("spiffe://example.org?a", "trust domain must be of"),
        ("https://example.org", "must start with"),
        ("example.org", "must start with"),
    ],
)
def test_anything_else_is_no_id_of_a_trust_domain(text: str, rule: str) -> None:
    with pytest.raises(SpiffeIdError, match=rule):
        parse_trust_domain_id(text)


@pytest.mark.parametrize(
    ("trust_domain", "path"),
    [
        ("Example.org", "/a"),
        ("example.org/a", "/b"),
        ("", "/a"),
        ("example.org", ""),
        ("example.org", "a"),
        ("example.org", "/"),
        ("example.org", "/" + "a" * 2028),
    ],
)
def test_no_invalid_one_can_be_built_from_parts(trust_domain: str, path: str) -> None:
    with pytest.raises(SpiffeIdError):
        SpiffeId(trust_domain, path)


def test_a_hostile_value_is_shown_shortened() -> None:
    with pytest.raises(SpiffeIdError) as caught:
        SpiffeId.parse("x" * 1_000_000)
    assert len(str(caught.value)) < 200


def test_spiffe_ids_are_values() -> None:
    one = SpiffeId.parse("spiffe://example.org/a")
    assert one == SpiffeId("example.org", "/a")
    assert len({one, SpiffeId("example.org", "/a"), SpiffeId("example.org", "/A")}) == 2
    assert min([SpiffeId("b", "/a"), SpiffeId("a", "/b")]).trust_domain == "a"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.path = "/b"  # type: ignore[misc]


any_text = st.one_of(
    st.text(),
    st.text().map("spiffe://{}".format),
    st.text(PATH_CHARACTERS + "/%:@?#").map("spiffe://example.org/{}".format),
)


@pytest.mark.parametrize(
    "parse", [SpiffeId.parse, parse_trust_domain, parse_trust_domain_id]
)
@given(text=any_text)
def test_any_text_parses_or_raises_spiffe_id_error(
    parse: Callable[[str], object], text: str
) -> None:
    try:
        parsed = parse(text)
    except SpiffeIdError:
        return
    assert str(parsed) in text


@given(spiffe_ids)
def test_what_is_printed_parses_to_the_same(text: str) -> None:
    assert str(SpiffeId.parse(text)) == text
