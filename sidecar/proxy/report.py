"""What a connection leaves behind: its counts and its access record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio

from sidecar.telemetry.access_log import AccessRecord
from sidecar.telemetry.labels import Outcome, Reason

if TYPE_CHECKING:
    from sidecar.proxy.connection import Connection
    from sidecar.proxy.mesh import Mesh
    from sidecar.relay.flow import Ending


def report(connection: Connection, ending: Ending, mesh: Mesh) -> None:
    """Count the end of *connection* and write its record. Once for each."""
    publish_bytes(connection, mesh)
    mesh.metrics.connection_closed(connection.direction, ending.outcome)
    failed = ending.outcome is not Outcome.COMPLETED
    if mesh.access_log.wants(failed=failed):
        mesh.access_log.write(_record(connection, ending))


def publish_bytes(connection: Connection, mesh: Mesh) -> None:
    """Add what the connection has moved since the last time to the counters."""
    flow = connection.flow
    if flow is not None:
        received, sent = flow.received, flow.sent
        before = connection.published
        mesh.metrics.add_bytes(
            connection.direction, received - before[0], sent - before[1]
        )
        connection.published = received, sent


def _record(connection: Connection, ending: Ending) -> AccessRecord:
    reason = connection.reason if ending.reason is Reason.OK else ending.reason
    record = AccessRecord(
        time=datetime.now(UTC),
        direction=connection.direction,
        outcome=ending.outcome,
        reason=reason,
        peer=_text(connection.peer),
        identity=_text(connection.identity),
        source=str(connection.source),
        destination=_text(connection.destination),
        upstream=_text(connection.upstream),
        rule=connection.rule,
        decision=connection.decision,
        seconds=trio.current_time() - connection.began,
        generation=connection.generation or None,
        policy_generation=connection.generations.policy,
        config_generation=connection.generations.config,
        detail=ending.detail or None,
    )
    if connection.flow is not None:
        record.received = connection.flow.received
        record.sent = connection.flow.sent
    if connection.session is not None:
        tls = connection.session.connection
        record.tls_version = tls.get_protocol_version_name()
        record.group = tls.get_group_name()
        record.cipher = tls.get_cipher_name()
        record.resumed = connection.session.resumed
    return record


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)
