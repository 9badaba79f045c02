from __future__ import annotations

import pytest

from sidecar.config.model import NameKind
from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.tls.accepted import accepted_names, not_accepted, unknown_trust_domain

DNS = frozenset({"a.test"})
SUBJECT = (("OU", "web"),)
NAMES = CertificateNames(DNS, SUBJECT)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({NameKind.DNS, NameKind.SUBJECT}, NAMES),
        ({NameKind.DNS}, CertificateNames(DNS, ())),
        ({NameKind.SUBJECT}, CertificateNames(frozenset(), SUBJECT)),
        ({NameKind.SPIFFE}, None),
    ],
)
def test_only_accepted_kinds_of_names_count(
    kinds: set[NameKind], expected: CertificateNames | None
) -> None:
    assert accepted_names(NAMES, frozenset(kinds)) == expected


def test_a_certificate_without_an_accepted_name_has_none() -> None:
    assert accepted_names(CertificateNames(DNS, ()), frozenset({NameKind.SUBJECT})) is (
        None
    )


def test_what_does_not_count_is_named_beside_what_does() -> None:
    said = not_accepted("a SPIFFE ID", frozenset({NameKind.SUBJECT, NameKind.DNS}))
    assert said == "expected one of identity.accept (dns, subject), got a SPIFFE ID"
    stranger = SpiffeId.parse("spiffe://x.test/a")
    assert unknown_trust_domain(stranger) == (
        "no bundle for the trust domain of spiffe://x.test/a"
    )
