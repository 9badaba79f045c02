"""Good leaves whose path is bad."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.certs.cases.paths import CASES
from tests.certs.worlds import WORLD, built, by_name, clause_of_the_leaf

if TYPE_CHECKING:
    from sidecar.certs.cases.case import Case


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_the_leaf_is_good_and_refused_for_its_path(case: Case) -> None:
    assert clause_of_the_leaf(case) is None
    assert not case.accepted


def test_the_revoked_leaf_is_the_one_on_the_list() -> None:
    (revoked,) = (case for case in CASES if case.with_crl)
    serial = built(revoked).leaf.serial_number
    assert WORLD.crl().get_revoked_certificate_by_serial_number(serial)
