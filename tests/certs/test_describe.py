"""What a certificate says, safe to print."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import NameOID

from sidecar.certs.conformance import CASES
from sidecar.certs.describe import describe
from tests.certs.worlds import built, by_name
from tests.identity import certificates as make

if TYPE_CHECKING:
    from sidecar.certs.cases.case import Case
    from sidecar.identity.svid import PrivateKey


def test_every_field_is_there_in_reading_order() -> None:
    said = describe(make.leaf())
    assert list(said) == [
        "names",
        "subject",
        "issuer",
        "serial",
        "not_before",
        "not_after",
        "key",
        "sha256",
    ]
    assert said["names"] == make.SPIFFE_ID
    assert said["subject"] == "(empty)"
    assert said["serial"] == "1"
    assert said["not_before"] == "2030-01-01 12:00:00 UTC"
    assert said["not_after"] == "2030-01-01 13:00:00 UTC"
    assert said["key"] == "EC secp256r1"
    assert len(said["sha256"]) == 64


def test_every_kind_of_name_says_which_it_is() -> None:
    names = x509.SubjectAlternativeName(
        [
            x509.UniformResourceIdentifier("spiffe://example.org/a"),
            x509.DNSName("a.org"),
            x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
            x509.RFC822Name("a@a.org"),
            x509.DirectoryName(make.ACME),
        ]
    )
    assert describe(make.leaf(san=(names, True)))["names"] == (
        "spiffe://example.org/a, DNS:a.org, IP:10.0.0.1, email:a@a.org, "
        "another DirectoryName"
    )


def test_no_names_are_said_to_be_none() -> None:
    assert describe(make.build([]))["names"] == "(none)"


def test_a_subject_is_written_in_the_certificates_order() -> None:
    name = make.subject(
        (NameOID.ORGANIZATION_NAME, "Acme, Inc."),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "web"),
    )
    assert describe(make.leaf(name=name))["subject"] == "O=Acme\\, Inc.,OU=web"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (rsa.generate_private_key(65537, 2048), "RSA 2048"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
    ],
    ids=["rsa", "ed25519"],
)
def test_a_key_is_named_by_its_kind(key: PrivateKey, said: str) -> None:
    assert describe(make.build([], name=make.ACME, signer=key))["key"] == said


def test_what_cannot_be_read_is_said_to_be_so() -> None:
    odd_key = make.patched(
        make.leaf(),
        bytes.fromhex("06072a8648ce3d0201"),
        bytes.fromhex("06072a8648ce3d027f"),
    )
    assert describe(odd_key)["key"] == "(not readable)"
    assert describe(make.duplicated_extension())["names"] == "(not readable)"
    for certificate in make.unreadable_subjects().values():
        assert describe(certificate)["subject"] == "(not readable)"
        assert describe(certificate)["issuer"] == "(not readable)"


def test_nothing_reaches_the_terminal_but_printable_text() -> None:
    hostile = x509.SubjectAlternativeName(
        [
            x509.UniformResourceIdentifier("spiffe://a/\x1b[2J\n"),
            x509.DNSName("\x07.org"),
        ]
    )
    name = make.subject((NameOID.ORGANIZATION_NAME, "\x1b]0;owned\x07\u202e"))
    said = describe(make.leaf(san=(hostile, True), name=name))
    assert all(text.isprintable() for text in said.values())


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_every_case_can_be_described(case: Case) -> None:
    for certificate in built(case).chain:
        said = describe(certificate)
        assert all(text and text.isprintable() for text in said.values())
