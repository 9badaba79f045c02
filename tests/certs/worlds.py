"""The one world in which the tests of the cases take place."""

from __future__ import annotations

import datetime as dt
import functools
from typing import TYPE_CHECKING

from sidecar.certs.authority import Authority
from sidecar.certs.cases.world import Presented, World
from sidecar.identity.svid import SvidError, leaf_spiffe_id

if TYPE_CHECKING:
    from sidecar.certs.cases.case import Case

NOW = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
WORLD = World.around(Authority.create("example.org", now=NOW), now=NOW)


@functools.cache
def built(case: Case) -> Presented:
    """Build each case once."""
    return case.build(WORLD)


def clause_of_the_leaf(case: Case) -> str | None:
    """Return the clause of the first rule that the leaf breaks by itself."""
    try:
        leaf_spiffe_id(built(case).leaf)
    except SvidError as error:
        return error.clause
    return None


def by_name(case: Case) -> str:
    return case.name
