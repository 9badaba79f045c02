from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, strategies as st

from sidecar.config.crl import CrlError, check_begun, parse_crls
from tests.config.authorities import DAY, NOW, Authority, pem

ROOT, OTHER = Authority.root("root"), Authority.root("other")
CRL, OTHER_CRL = ROOT.crl(NOW + DAY), OTHER.crl(NOW + DAY)
DER = CRL.public_bytes(Encoding.DER)


def test_many_lists_are_read_in_their_order() -> None:
    text = b"# revoked\n" + pem(CRL) + b"\n# and\n" + pem(OTHER_CRL)
    assert parse_crls(text) == (CRL, OTHER_CRL)


def test_a_list_that_has_not_begun_is_refused_and_one_that_is_over_is_not() -> None:
    begins = ROOT.crl(NOW + DAY, NOW)
    check_begun([CRL, OTHER_CRL, begins, ROOT.crl(NOW - DAY)], NOW)
    with pytest.raises(CrlError) as caught:
        check_begun([CRL, begins], NOW - DAY / 2)
    what = "list 2 is not valid before 2026-01-05 03:04:05 UTC, in 12 hours"
    assert str(caught.value) == what


def test_one_list_may_be_der() -> None:
    assert parse_crls(DER) == (CRL,)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        pem(ROOT.certificate),
        DER[:-1],
        pem(CRL) + pem(CRL).replace(b"\nMI", b"\nAA"),
    ],
    ids=["empty", "text", "certificate", "cut DER", "one bad of two"],
)
def test_what_is_no_list_is_refused(data: bytes) -> None:
    with pytest.raises(CrlError) as caught:
        parse_crls(data)
    assert str(caught.value) == (
        "must be certificate revocation lists in PEM, or one in DER, got something else"
    )


@pytest.mark.parametrize("before", [b"", pem(CRL)])
def test_half_a_list_is_not_passed_over(before: bytes) -> None:
    with pytest.raises(CrlError, match=r"^a list begins in it and does not end$"):
        parse_crls(before + pem(OTHER_CRL)[:-10])


@given(st.binary(), st.integers(0, len(DER)))
def test_any_bytes_are_lists_or_the_one_error(data: bytes, at: int) -> None:
    for each in (data, DER[:at] + data + DER[at + len(data) :], pem(CRL)[:at]):
        with contextlib.suppress(CrlError):
            parse_crls(each)
