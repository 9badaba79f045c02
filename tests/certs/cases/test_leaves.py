"""Leaves that break a rule for leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.certs.cases.leaves import CASES
from sidecar.telemetry.labels import Reason
from tests.certs.worlds import WORLD, built, by_name, clause_of_the_leaf

if TYPE_CHECKING:
    from sidecar.certs.cases.case import Case


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_a_bad_leaf_breaks_its_clause_though_the_right_authority_signed(
    case: Case,
) -> None:
    broken = clause_of_the_leaf(case)
    assert case.reason is Reason.NOT_AN_SVID
    assert broken is not None
    assert case.clause.startswith(broken)
    built(case).leaf.verify_directly_issued_by(WORLD.authority.root)
