"""Why a peer's certificate is refused, as a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from sidecar.telemetry.labels import Reason


@frozen
class Refusal:
    """Why a peer's certificate is refused, and with which error of OpenSSL."""

    reason: Reason
    detail: str
    code: int
