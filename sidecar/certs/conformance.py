"""What must be let in and what must be refused: certificates, one for each clause.

The table is for any TLS endpoint, not for this one alone. Give it the bundles of a
`World`, show it the chain of each case in a handshake, and compare what it does with
what the case says. A refusal's reason is this project's word for it; another
endpoint need only refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sidecar.certs.cases import encodings, good, leaves, paths, signers, spiffe_ids

if TYPE_CHECKING:
    from sidecar.certs.cases.case import Case

CASES: Final[tuple[Case, ...]] = (
    *good.CASES,
    *spiffe_ids.CASES,
    *leaves.CASES,
    *encodings.CASES,
    *signers.CASES,
    *paths.CASES,
)
"""Every case; names are unique."""
