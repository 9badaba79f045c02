from __future__ import annotations

import pytest

from sidecar.config.material import Trust
from sidecar.config.place import written
from sidecar.config.succession import steps_back
from sidecar.identity.bundle import TrustBundle


def trust(**sequences: int | None) -> Trust:
    bundles = {name: TrustBundle(name, (), each) for name, each in sequences.items()}
    return Trust(bundles=bundles)


@pytest.mark.parametrize(
    ("before", "after"),
    [(7, 7), (7, 8), (None, 7), (7, None), (None, None)],
)
def test_a_sequence_may_stay_grow_come_and_go(
    before: int | None, after: int | None
) -> None:
    assert list(steps_back(trust(a=before), trust(a=after))) == []


def test_a_sequence_that_goes_back_is_an_old_bundle() -> None:
    (finding,) = steps_back(trust(a=7, b=1), trust(a=6, b=1, c=0))
    assert written(finding.place) == "trust_bundles.a"
    assert finding.what == (
        "spiffe_sequence must not go back, got 6 after 7 "
        "(a restart takes what is there)"
    )


def test_a_bundle_that_is_new_has_nothing_to_follow() -> None:
    assert list(steps_back(trust(), trust(a=0))) == []
