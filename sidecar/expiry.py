"""The end of our own certificate, seen coming.

Whoever renews it does so when a half or two thirds of its life are over. One that has
come to the last tenth was not renewed: what routes to us is told, while those who are
here are still served.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import trio

from sidecar.config.moments import seen_from, stamp
from sidecar.tls.verify import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sidecar.admin.readiness import Readiness
    from sidecar.identity.svid import Svid
    from sidecar.proxy.mesh import Mesh
    from sidecar.tls.credentials import Credentials

_LOOK_SECONDS: Final = 1.0
_LAST_PART: Final = 10
# Of a certificate that lives for long, a tenth is long, too.
_AT_MOST: Final = timedelta(minutes=5)


def nearly_over(svid: Svid, now: datetime) -> str | None:
    """Say what is wrong where *svid* has come to the last part of its life."""
    begin, end = svid.leaf.not_valid_before_utc, svid.not_valid_after
    if now < end - min((end - begin) / _LAST_PART, _AT_MOST):
        return None
    ends = "expires" if now <= end else "expired"
    return f"our own certificate {ends} {seen_from(end, now)}, {stamp(end)}"


def _fault(identity: str | None, credentials: Credentials, now: datetime) -> str | None:
    svid, fault = credentials.svid, credentials.withdrawn
    if fault is None and svid is not None:
        fault = nearly_over(svid, now)
    if fault is None or identity is None:
        return fault
    return f"identity {identity!r}: {fault}"


async def watch_own_certificate(
    mesh: Mesh, readiness: Readiness, clock: Callable[[], datetime] = utc_now
) -> None:
    """Keep *readiness* at how our certificates are, until cancelled.

    Of what has not been issued yet, nothing is said.
    """
    said = False
    while True:
        now, ours = clock(), mesh.credentials
        faults = (_fault(name, ours.of(name), now) for name in ours.svids())
        why = next(filter(None, faults), None)
        if why is not None:
            readiness.failed("identity", why)
            said = True
        elif said:
            readiness.done("identity")
            said = False
        await trio.sleep(_LOOK_SECONDS)
