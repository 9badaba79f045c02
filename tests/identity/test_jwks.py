"""JWK Sets as SPIFFE uses them, good and bad."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, strategies as st

from sidecar.identity.jwks import JwksError, JwkSet, looks_like_jwks
from tests.identity import certificates as make

ROOT = make.signer()
SECOND = make.build(list(make.SIGNER.values()), signer=make.key("second"))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner)
    ),
    max_leaves=12,
)


def encoded(certificate: Any) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def key(certificate: Any = ROOT, **changes: Any) -> dict[str, Any]:
    made = {"kty": "EC", "use": "x509-svid", "x5c": [encoded(certificate)]}
    return {name: each for name, each in (made | changes).items() if each is not None}


def document(*keys: Any, **more: Any) -> bytes:
    return json.dumps({"keys": keys, **more}).encode()


def test_each_key_is_the_certificate_of_a_root() -> None:
    found = JwkSet.parse(document(key(), key(SECOND)))
    assert found == JwkSet((ROOT, SECOND))


def test_sequence_and_refresh_hint_are_read() -> None:
    found = JwkSet.parse(
        document(key(), spiffe_sequence=2**64 - 1, spiffe_refresh_hint=300)
    )
    assert (found.sequence, found.refresh_hint) == (2**64 - 1, 300)


def test_what_nobody_has_heard_of_is_passed_over() -> None:
    found = JwkSet.parse(document(key(kid="x", alg="y"), spiffe_other=[1]))
    assert found.certificates == (ROOT,)


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "jwt-svid"},
        {"use": "X509-SVID"},
        {"use": None},
        {"kty": "oct"},
        {"kty": "AKP"},
        {"kty": None},
        {"x5c": None},
        {"x5c": []},
    ],
)
def test_a_key_of_another_kind_is_ignored(changes: dict[str, Any]) -> None:
    found = JwkSet.parse(document(key(SECOND), key(**changes)))
    assert found.certificates == (SECOND,)


def test_only_the_first_certificate_of_a_key_counts() -> None:
    found = JwkSet.parse(document(key(x5c=[encoded(ROOT), encoded(SECOND)])))
    assert found.certificates == (ROOT,)


@pytest.mark.parametrize("keys", [[], [key(use="jwt-svid")]])
def test_no_key_is_a_bundle_that_trusts_nothing(keys: list[Any]) -> None:
    assert JwkSet.parse(document(*keys)) == JwkSet(())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "must be JSON"),
        (b"{", "must be JSON"),
        (b"\xff", "must be JSON"),
        (b"[" * 100_000, "must be JSON"),
        (b'{"keys": NaN}', "must be JSON, got NaN"),
        (b"[]", "must be a JSON object"),
        (b"{}", "must have keys"),
        (b'{"spiffe_sequence": 1}', "must have keys"),
        (b'{"keys": {}}', "keys must be a list"),
        (b'{"keys": [], "keys": []}', "got 'keys' twice"),
        (b'{"keys": [1]}', r"keys\[0\]: must be an object, got 1"),
        (b'{"keys": [{"kty": 1}]}', r"keys\[0\].kty must be text, got 1"),
        (document(key(use=["x"])), r"keys\[0\].use must be text"),
        (document(key(x5c="x")), r"keys\[0\].x5c: must be a list"),
        (document(key(), key(x5c=["x"])), r"keys\[1\].x5c\[0\]: must be a certificate"),
        (document(key(x5c=[7])), "must be a certificate"),
        (document(key(x5c=["AAAA"])), "must be a certificate"),
        (document(spiffe_sequence="7"), "spiffe_sequence must be a whole number"),
        (document(spiffe_sequence=True), "spiffe_sequence must be a whole number"),
        (document(spiffe_sequence=1.0), "spiffe_sequence must be a whole number"),
        (document(spiffe_sequence=-1), "spiffe_sequence must be from 0"),
        (document(spiffe_sequence=2**64), "spiffe_sequence must be from 0"),
        (document(spiffe_refresh_hint="x"), "spiffe_refresh_hint must be a whole"),
    ],
)
def test_what_is_no_bundle_is_said(text: bytes, why: str) -> None:
    with pytest.raises(JwksError, match=why):
        JwkSet.parse(text)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_bundle_or_a_jwks_error(data: bytes) -> None:
    parses_or_refuses(data)


@given(JSON, JSON, JSON)
def test_any_json_is_a_bundle_or_a_jwks_error(a: Any, b: Any, c: Any) -> None:
    parses_or_refuses(json.dumps(a).encode())
    parses_or_refuses(document(a, key(x5c=b), key(kty=b, use=c), spiffe_sequence=c))


def test_every_prefix_is_a_jwks_error() -> None:
    whole = document(key(), spiffe_sequence=7)
    for end in range(len(whole)):
        with pytest.raises(JwksError):
            JwkSet.parse(whole[:end])


def parses_or_refuses(data: bytes) -> None:
    try:
        found = JwkSet.parse(data)
    except JwksError:
        return
    assert isinstance(found.certificates, tuple)


@pytest.mark.parametrize(
    ("data", "looks"), [(b" \n{}", True), (b"-----BEGIN", False), (b"", False)]
)
def test_json_is_told_from_pem_by_its_beginning(data: bytes, looks: bool) -> None:
    assert looks_like_jwks(data) is looks
