"""Outbound: from the local application to the mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.proxy.originate import originate
from sidecar.proxy.outcome import Refused
from sidecar.proxy.plan import Originate, PassThrough, Reject, plan_outbound
from sidecar.proxy.recheck import admit_again
from sidecar.proxy.steps import dial_upstream, find_destination
from sidecar.relay.plain_flow import PlainFlow
from sidecar.telemetry.labels import Direction, Verdict

if TYPE_CHECKING:
    import socket

    from sidecar.config.model import Listener
    from sidecar.proxy.connection import Connection
    from sidecar.proxy.mesh import Mesh
    from sidecar.relay.flow import Ending


async def carry(
    client: socket.socket, listener: Listener, mesh: Mesh, connection: Connection
) -> Ending:
    """Carry one outbound connection from accept to close, and say how it ended.

    The caller owns *client*, registers *connection*, and reports what comes of it.

    Raises:
        Refused: The connection was turned away, or broke before it was relayed.
        OSError: The application's connection broke.

    Cancellation:
        Both legs are reset at once and bytes in flight are lost.
    """
    destination = connection.destination = find_destination(client, listener)
    addresses = mesh.hosts.addresses(destination.host)
    plan = plan_outbound(mesh.routes, destination, addresses, mesh.own)
    _record(plan, mesh, connection)
    if isinstance(plan, Reject):
        raise Refused(plan.outcome, plan.detail)

    if isinstance(plan, PassThrough):
        mesh.metrics.plaintext_connection(connection.direction, destination.port)
        upstream = await dial_upstream(addresses, destination.port, mesh, connection)
        connection.flow = PlainFlow(client, upstream)
        admit_again(mesh, connection)
        return await mesh.engine.carry(connection.flow)

    leg = await originate(client, addresses, destination, plan, mesh, connection)
    connection.flow = leg.flow(client)
    admit_again(mesh, connection)
    ending = await mesh.engine.carry(connection.flow)
    leg.learn(connection.flow, ending)
    return ending


def _record(
    plan: Originate | PassThrough | Reject, mesh: Mesh, connection: Connection
) -> None:
    connection.rule = plan.rule
    verdict = Verdict.DENY if isinstance(plan, Reject) else Verdict.ALLOW
    connection.decision = verdict
    mesh.metrics.policy_decided(Direction.OUTBOUND, verdict, plan.rule)
