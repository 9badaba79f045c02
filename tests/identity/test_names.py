"""The names of certificates that have no SPIFFE ID."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given, strategies as st

from sidecar.identity.names import CertificateNames, attributes_of, escaped
from sidecar.identity.reading import SvidError
from tests.identity import certificates as make

WEB = make.subject((NameOID.ORGANIZATIONAL_UNIT_NAME, "web"))


def names(*dns: str, subject: x509.Name = WEB) -> CertificateNames:
    san = (make.sans(dns=dns), False) if dns else None
    return CertificateNames.of(make.leaf(name=subject, san=san))


def test_the_subject_keeps_the_order_of_the_certificate() -> None:
    subject = make.subject(
        (NameOID.COUNTRY_NAME, "CH"),
        (NameOID.STATE_OR_PROVINCE_NAME, "Bern"),
        (NameOID.LOCALITY_NAME, "Thun"),
        (NameOID.ORGANIZATION_NAME, "Acme"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "web"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "shop"),
        (NameOID.COMMON_NAME, "a"),
        (NameOID.EMAIL_ADDRESS, "a@example.org"),
    )
    assert names(subject=subject).subject == (
        ("C", "CH"),
        ("ST", "Bern"),
        ("L", "Thun"),
        ("O", "Acme"),
        ("OU", "web"),
        ("OU", "shop"),
        ("CN", "a"),
        ("1.2.840.113549.1.9.1", "a@example.org"),
    )


def test_attributes_of_one_rdn_are_listed_one_by_one() -> None:
    both = x509.RelativeDistinguishedName(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "web"),
        ]
    )
    assert sorted(names(subject=x509.Name([both])).subject) == [
        ("O", "Acme"),
        ("OU", "web"),
    ]


def test_a_value_that_is_no_text_is_hexadecimal() -> None:
    """RFC 4514, 2.4."""
    unique = x509.NameAttribute(
        NameOID.X500_UNIQUE_IDENTIFIER,
        b"\x00\x01\xff",
        _type=x509.name._ASN1Type.BitString,
    )
    assert names(subject=x509.Name([unique])).subject == (("2.5.4.45", "#0001ff"),)


def test_dns_names_are_lower_case_and_a_set() -> None:
    assert names("A.Example.org", "a.example.ORG", "*.b").dns == {
        "a.example.org",
        "*.b",
    }


def test_the_common_name_is_no_dns_name() -> None:
    subject = make.subject((NameOID.COMMON_NAME, "a.example.org"))
    assert names(subject=subject).dns == frozenset()


def test_a_value_of_a_forbidden_length_is_read_all_the_same() -> None:
    """RFC 5280, appendix A: a country has two letters. The library only warns."""
    acme = make.leaf(name=make.subject((NameOID.ORGANIZATION_NAME, "CHE")), san=None)
    organization, country = b"\x06\x03\x55\x04\x0a", b"\x06\x03\x55\x04\x06"
    certificate = make.patched(acme, organization, country, times=2)
    with pytest.warns(UserWarning, match="length must be"):
        assert CertificateNames.of(certificate).subject == (("C", "CHE"),)


def test_no_name_at_all_is_a_result_too() -> None:
    nobody = names(subject=x509.Name([]))
    assert nobody == CertificateNames(frozenset(), ())
    assert str(nobody) == "subject:"


@pytest.mark.parametrize(
    ("dns", "subject", "printed"),
    [
        ((), (("OU", "web"),), "subject:OU=web"),
        ((), (("O", "Acme"), ("OU", "web")), "subject:O=Acme,OU=web"),
        (("b.org", "a.org"), (("OU", "web"),), "dns:a.org"),
        ((), (("O", "A, B=C"),), "subject:O=A\\, B=C"),
        ((), (("O", 'a"+;<>\\'),), 'subject:O=a\\"\\+\\;\\<\\>\\\\'),
        ((), (("O", "a\nb\x00\x1b[1m"),), "subject:O=a\\0Ab\\00\\1B[1m"),
        ((), (("O", "Zürich"),), "subject:O=Zürich"),
        ((), (("O", "a\u202eb"),), "subject:O=a\\E2\\80\\AEb"),
        (("a\n.org",), (), "dns:a\\0A.org"),
    ],
)
def test_one_name_stands_for_all(
    dns: tuple[str, ...], subject: tuple[tuple[str, str], ...], printed: str
) -> None:
    assert str(CertificateNames(frozenset(dns), subject)) == printed


@given(
    st.frozensets(st.text(), max_size=3),
    st.lists(st.tuples(st.just("O"), st.text()), max_size=20).map(tuple),
)
def test_what_is_shown_is_bounded_and_printable(
    dns: frozenset[str], subject: tuple[tuple[str, str], ...]
) -> None:
    shown = str(CertificateNames(dns, subject))
    assert len(shown) <= 256
    assert shown.isprintable()


def test_names_are_values() -> None:
    assert names("a.org") == names("A.org")
    assert len({names("a.org"), names("A.org"), names("b.org")}) == 2


def test_a_certificate_without_extensions_has_a_subject_alone() -> None:
    certificate = make.build([], name=WEB)
    assert CertificateNames.of(certificate) == CertificateNames(
        frozenset(), (("OU", "web"),)
    )


def test_an_issuer_has_attributes_as_a_subject_has() -> None:
    assert attributes_of(WEB) == (("OU", "web"),)


@given(st.text())
def test_what_is_escaped_is_printable_and_plain_text_stays(text: str) -> None:
    assert escaped(text).isprintable()
    if text.isalnum():
        assert escaped(text) == text


@pytest.mark.parametrize("fault", make.unreadable_extensions())
def test_unreadable_extensions_are_refused(fault: str) -> None:
    with pytest.raises(SvidError, match="extensions must be well formed"):
        CertificateNames.of(make.unreadable_extensions()[fault])


@pytest.mark.parametrize("fault", make.unreadable_subjects())
def test_an_unreadable_subject_is_refused(fault: str) -> None:
    with pytest.raises(SvidError, match="subject must be well formed"):
        CertificateNames.of(make.unreadable_subjects()[fault])
