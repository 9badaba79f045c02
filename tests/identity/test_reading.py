"""Whatever `cryptography` raises when it reads a certificate, one error comes out."""

from __future__ import annotations

import contextlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID
from hypothesis import given, strategies as st

from sidecar.identity.reading import (
    SvidError,
    read_alternative_names,
    read_der,
    read_extensions,
    read_issuer,
    read_pem,
    read_subject,
    value_of,
)
from tests.identity import certificates as make
from tests.identity.certificates import leaf, pem, signer


def test_extensions_are_found_by_their_oid() -> None:
    extensions = read_extensions(make.leaf())
    assert set(extensions) == {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    }
    assert extensions[ExtensionOID.KEY_USAGE].critical


def test_a_value_is_found_by_its_kind() -> None:
    extensions = read_extensions(make.leaf())
    assert value_of(extensions, x509.KeyUsage) == make.usage("digital_signature")
    assert value_of(extensions, x509.NameConstraints) is None


def test_alternative_names_are_empty_where_there_are_none() -> None:
    assert list(read_alternative_names({})) == []
    found = read_alternative_names(read_extensions(make.leaf()))
    assert found.get_values_for_type(x509.UniformResourceIdentifier) == [make.SPIFFE_ID]


@pytest.mark.parametrize("fault", make.unreadable_extensions())
def test_extensions_that_do_not_parse_are_an_svid_error(fault: str) -> None:
    with pytest.raises(SvidError) as caught:
        read_extensions(make.unreadable_extensions()[fault])
    assert caught.value.code == "extensions-readable"
    assert caught.value.clause == "RFC 5280 4.2"
    assert str(caught.value).endswith("(RFC 5280 4.2)")
    assert len(str(caught.value)) < 250


def test_the_subject_is_read() -> None:
    name = make.subject((NameOID.ORGANIZATION_NAME, "Acme"))
    assert read_subject(make.leaf(name=name)) == name


@pytest.mark.parametrize("fault", make.unreadable_subjects())
def test_a_subject_that_does_not_parse_is_an_svid_error(fault: str) -> None:
    with pytest.raises(SvidError) as caught:
        read_subject(make.unreadable_subjects()[fault])
    assert caught.value.code == "subject-readable"
    assert caught.value.clause == "RFC 5280 4.1.2.6"


def test_the_issuer_is_read() -> None:
    name = make.subject((NameOID.ORGANIZATION_NAME, "Acme"))
    assert read_issuer(make.leaf(name=name)) == name


@pytest.mark.parametrize("fault", make.unreadable_subjects())
def test_an_issuer_that_does_not_parse_is_an_svid_error(fault: str) -> None:
    with pytest.raises(SvidError) as caught:
        read_issuer(make.unreadable_subjects()[fault])
    assert caught.value.code == "issuer-readable"
    assert caught.value.clause == "RFC 5280 4.1.2.4"


def test_certificates_are_read_from_pem_in_their_order() -> None:
    both = (make.leaf(), make.signer())
    assert read_pem(make.pem(*both)) == both
    assert read_pem(b"text\n" + make.key_pem(make.key()) + make.pem(both[0])) == (
        both[0],
    )


@pytest.mark.parametrize(
    ("text", "got"),
    [
        pytest.param(b"", "got none", id="empty"),
        pytest.param(b"hello", "got none", id="text"),
        pytest.param(b"0\x82", "got what may be DER.*-inform der", id="der"),
        pytest.param(make.key_pem(make.key()), "got a private key", id="key"),
        pytest.param(make.pem(make.leaf())[:200], "cannot be parsed", id="prefix"),
        pytest.param(
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "cannot be parsed",
            id="no-certificate",
        ),
    ],
)
def test_what_is_no_pem_is_an_svid_error(text: bytes, got: str) -> None:
    with pytest.raises(SvidError, match=f"at least one certificate, .*{got}") as caught:
        read_pem(text)
    assert caught.value.code == "pem-readable"
    assert caught.value.clause == "RFC 7468 5"


CHAIN = (leaf(), signer())
CHAIN_DER = b"".join(each.public_bytes(Encoding.DER) for each in CHAIN)


def test_certificates_are_read_from_der_in_their_order() -> None:
    assert read_der(CHAIN_DER) == CHAIN


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (b"", "nothing"),
        (CHAIN_DER[:-1], "something else"),
        (b"\x30\x00", "something else"),
        (pem(leaf()), "something else"),
    ],
)
def test_what_is_no_der_is_an_svid_error(data: bytes, got: str) -> None:
    with pytest.raises(SvidError, match=f"certificate in DER, got {got}"):
        read_der(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_certificates_or_an_svid_error(data: bytes) -> None:
    with contextlib.suppress(SvidError):
        assert read_der(data)
