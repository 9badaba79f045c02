"""The key of our own certificate."""

from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    rsa,
    x25519,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given, strategies as st

from sidecar.identity.private_key import (
    PrivateKey,
    check_belongs,
    read_private_key,
    read_private_key_der,
)
from sidecar.identity.reading import SvidError
from tests.identity import certificates as make
from tests.identity.certificates import key, key_pem, leaf, pem


@pytest.mark.parametrize(
    "private",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
    ],
    ids=["rsa", "p-256", "p-384", "ed25519", "ed448"],
)
def test_a_key_is_read_and_known_as_its_certificates(private: PrivateKey) -> None:
    certificate = make.build(list(make.LEAF.values()), signer=private)
    check_belongs(read_private_key(key_pem(private)), [certificate])


@pytest.mark.parametrize(
    "form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL]
)
def test_both_forms_of_a_key_file_are_read(form: PrivateFormat) -> None:
    text = key().private_bytes(Encoding.PEM, form, NoEncryption())
    assert read_private_key(text).public_key() == key().public_key()


def test_the_parameters_that_openssl_writes_first_are_passed_over() -> None:
    """As `openssl ecparam -genkey` does."""
    p256 = (
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    )
    text = key().private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    assert read_private_key(p256.encode() + text).public_key() == key().public_key()


ENCRYPTED = key().private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")
)
WRONG_KIND = (
    x25519.X25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ),
    dsa.generate_private_key(1024).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ),
)


@pytest.mark.parametrize(
    ("private", "code", "rule"),
    [
        pytest.param(
            b"", "private-key-readable", "must be a private key in PEM", id="empty"
        ),
        pytest.param(
            b"hello", "private-key-readable", "must be a private key in PEM", id="text"
        ),
        pytest.param(
            pem(leaf()),
            "private-key-readable",
            "must be a private key in PEM",
            id="certificate",
        ),
        pytest.param(ENCRYPTED, "private-key-readable", "openssl pkey", id="encrypted"),
        pytest.param(WRONG_KIND[0], "private-key-kind", "got X25519", id="x25519"),
        pytest.param(WRONG_KIND[1], "private-key-kind", "got DSA", id="dsa"),
    ],
)
def test_a_key_that_will_not_do_is_an_svid_error(
    private: bytes, code: str, rule: str
) -> None:
    with pytest.raises(SvidError, match=rule) as caught:
        read_private_key(private)
    assert caught.value.code == code


def test_a_key_error_never_quotes_the_file() -> None:
    secret = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
    with pytest.raises(SvidError) as caught:
        read_private_key(secret)
    assert "c2VjcmV0" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_chain_in_the_wrong_order_is_explained() -> None:
    authority = make.build(list(make.SIGNER.values()), signer=key("ca"))
    with pytest.raises(SvidError, match="certificate 2: put the leaf first"):
        check_belongs(key(), [authority, leaf()])


def test_a_certificate_with_an_unknown_kind_of_key_is_not_ours() -> None:
    odd = make.patched(
        leaf(),
        b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01",
        b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x7f",
    )
    with pytest.raises(SvidError, match="the key of none of them"):
        check_belongs(key(), [odd])


def test_the_key_of_another_certificate_is_refused() -> None:
    with pytest.raises(SvidError, match="the key of none of them") as caught:
        check_belongs(key("other"), [leaf()])
    assert caught.value.code == "private-key-belongs"


@given(st.binary(max_size=200))
def test_any_file_is_no_key(text: bytes) -> None:
    with pytest.raises(SvidError):
        read_private_key(text)


@given(st.integers(0, len(key_pem(key())) - 1), st.integers(1, 255))
def test_a_mutated_key_is_a_key_or_an_svid_error(place: int, bits: int) -> None:
    text = bytearray(key_pem(key()))
    text[place] ^= bits
    with contextlib.suppress(SvidError):
        read_private_key(bytes(text))


def der(private: PrivateKey, password: bytes | None = None) -> bytes:
    secret = BestAvailableEncryption(password) if password else NoEncryption()
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, secret)


def test_a_key_in_der_is_read() -> None:
    assert read_private_key_der(der(key())).public_key() == key().public_key()


@pytest.mark.parametrize("data", [b"", b"0\0", der(key(), b"x"), key_pem(key())])
def test_what_is_no_plain_key_in_der_is_an_svid_error(data: bytes) -> None:
    with pytest.raises(SvidError, match="unencrypted private key in PKCS #8") as caught:
        read_private_key_der(data)
    assert caught.value.code == "private-key-readable"


def test_a_kind_of_key_that_tls_has_no_use_for_is_refused_in_der_too() -> None:
    data = x25519.X25519PrivateKey.generate().private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
    with pytest.raises(SvidError, match="must be RSA, EC"):
        read_private_key_der(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_no_key_in_der(data: bytes) -> None:
    with pytest.raises(SvidError):
        read_private_key_der(data)
