"""Good leaves below good and bad intermediates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.certs.cases.signers import CASES
from sidecar.identity.svid import SvidError, check_signing_certificate
from tests.certs.worlds import WORLD, built, by_name, clause_of_the_leaf

if TYPE_CHECKING:
    from sidecar.certs.cases.case import Case

# What only the SPIFFE rules, or only the path, find fault with.
OF_THE_PATH = {"X509-SVID 4.2", "RFC 5280 4.1.2.5", "RFC 5280 4.2.1.9", "RFC 5280 6.1"}


def first_broken_clause(case: Case) -> str | None:
    for signer in built(case).chain[1:]:
        try:
            check_signing_certificate(signer, WORLD.trust_domain)
        except SvidError as error:
            return error.clause
    return None


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_the_leaf_is_good(case: Case) -> None:
    assert clause_of_the_leaf(case) is None


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_a_bad_intermediate_breaks_its_clause(case: Case) -> None:
    expected = None if case.accepted or case.clause in OF_THE_PATH else case.clause
    assert first_broken_clause(case) == expected
