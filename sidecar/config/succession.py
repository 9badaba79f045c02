"""What must hold between one state of the trust and the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.place import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.material import Trust


def steps_back(before: Trust, after: Trust) -> Iterator[Finding]:
    """Find bundles that are older than those in force, relative to `identity`.

    A bundle's sequence only grows (SPIFFE Trust Domain and Bundle 4.1.1). One that has
    gone back is an old file, and may have a root in it that was taken out since.
    """
    for name, bundle in after.bundles.items():
        former = before.bundles.get(name)
        if former is None or former.sequence is None or bundle.sequence is None:
            continue
        if bundle.sequence < former.sequence:
            what = (
                f"spiffe_sequence must not go back, got {bundle.sequence} after "
                f"{former.sequence} (a restart takes what is there)"
            )
            yield Finding(("trust_bundles", name), what)
