"""Good leaves: nothing that a leaf can break is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.certs.cases.good import CASES
from sidecar.identity.svid import leaf_spiffe_id
from sidecar.telemetry.labels import Reason
from tests.certs.worlds import built, by_name

if TYPE_CHECKING:
    from sidecar.certs.cases.case import Case


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_a_good_leaf_names_a_workload(case: Case) -> None:
    assert case.reason is Reason.OK
    assert leaf_spiffe_id(built(case).leaf).segments


def test_the_longest_id_has_2048_bytes() -> None:
    (case,) = (case for case in CASES if case.name == "longest-id")
    assert len(str(leaf_spiffe_id(built(case).leaf))) == 2048
