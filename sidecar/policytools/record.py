"""An access record as a question: what becomes of that connection by what is here?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sidecar.config.wording import shown
from sidecar.policytools.question import Asked, QuestionError
from sidecar.telemetry.labels import Direction, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

ONE_NAME: Final = "a record has one name of a certificate, which may have others"
"""What deserves a word about a peer without a SPIFFE ID."""

_CUT: Final = "..."  # as `CertificateNames` ends a name that is too long
_RULE: Final = "expected an access record, one line of JSON"


def asked_by(text: str) -> Asked:
    """Give what the last line of *text*, an access record, asks about.

    Raises:
        QuestionError: It is no such record, or does not tell who connected. No other
            exception escapes, whatever the text.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise _refused(f"{_RULE}, got nothing")
    try:
        record = json.loads(lines[-1])
    except (ValueError, RecursionError):
        raise _refused(f"{_RULE}, got {shown(lines[-1])}") from None
    if not isinstance(record, dict):
        raise _refused(f"{_RULE}, got {shown(lines[-1])}")
    direction = _text(record, "direction")
    if direction not in [*Direction]:
        raise _refused(
            f"direction: expected inbound or outbound, got {shown(direction)}"
        )
    destination = record.get("destination")
    if destination is None:
        raise _refused("destination: missing: the connection never had one")
    peer = _text(record, "peer") if "peer" in record else None
    if peer is not None and peer.endswith(_CUT):
        raise _refused(f"peer: the record has a part of it (give --peer), got {peer!r}")
    if direction == Direction.OUTBOUND:
        peers = () if peer is None else (peer,)
        return Asked(to=_text(record, "destination"), peers=peers)
    return _inbound(record, peer)


def _inbound(record: Mapping[str, Any], peer: str | None) -> Asked:
    if peer is None and record.get("outcome") == Outcome.HANDSHAKE_FAILED:
        reason, detail = record.get("reason"), record.get("detail")
        what = (
            f"peer: missing, as its handshake failed ({shown(reason)}: {shown(detail)})"
        )
        raise _refused(what)
    return Asked(
        peers=() if peer is None else (peer,),
        unauthenticated=peer is None,
        port=_text(record, "destination").rpartition(":")[2],
        source=_host(_text(record, "source")),
    )


def _host(endpoint: str) -> str:
    # Networks have no zone, and an address is compared without.
    return endpoint.rpartition(":")[0].strip("[]").partition("%")[0]


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise _refused(f"{key}: expected text, got {shown(value)}")
    return value


def _refused(what: str) -> QuestionError:
    return QuestionError([f"--record: {what}"])
