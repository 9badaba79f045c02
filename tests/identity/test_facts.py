"""What is read from a certificate before any rule is asked."""

from __future__ import annotations

import pytest
from cryptography import x509

from sidecar.identity.facts import Facts
from sidecar.identity.reading import SvidError
from tests.identity import certificates as make


def test_everything_is_read_once() -> None:
    certificate = make.leaf()
    facts = Facts.of(certificate)
    assert facts == Facts(
        certificate=certificate,
        uris=[make.SPIFFE_ID],
        names_critical=True,
        ca=False,
        key_usage=make.usage("digital_signature"),
        key_usage_critical=True,
        purposes=x509.ExtendedKeyUsage(make.BOTH),
    )


def test_what_is_absent_is_none() -> None:
    facts = Facts.of(make.build([]))
    assert list(facts.uris) == []
    assert not facts.names_critical
    assert facts.ca is None
    assert facts.key_usage is None
    assert not facts.key_usage_critical
    assert facts.purposes is None


@pytest.mark.parametrize(
    ("uri", "claims"),
    [
        ("spiffe://example.org/a", True),
        ("SPIFFE://example.org/a", True),
        ("Spiffe:whatever", True),
        ("spiffe:", True),
        ("spiffe", False),
        ("spiffes://example.org/a", False),
        ("https://example.org/spiffe:", False),
        ("", False),
    ],
)
def test_a_claim_of_a_spiffe_id_goes_by_the_scheme(uri: str, claims: bool) -> None:
    """SPIFFE-ID 2.4: it is case-insensitive."""
    facts = Facts.of(make.leaf(san=(make.sans(uri), True)))
    assert facts.spiffe_uris == ([uri] if claims else [])


def test_unreadable_extensions_are_an_svid_error() -> None:
    with pytest.raises(SvidError):
        Facts.of(make.duplicated_extension())
