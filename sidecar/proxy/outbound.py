"""Outbound: from the local application to the mesh."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from sidecar.proxy.outcome import Refused
from sidecar.proxy.plan import Originate, PassThrough, Reject, plan_outbound
from sidecar.proxy.steps import dial_upstream, find_destination, shake_hands
from sidecar.relay.plain_flow import PlainFlow
from sidecar.relay.tls_flow import TlsFlow
from sidecar.telemetry.labels import Direction, Outcome, Verdict
from sidecar.tls.errors import HandshakeError
from sidecar.tls.handshake import handshake, linger

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from sidecar.config.model import Endpoint, Listener
    from sidecar.proxy.connection import Connection
    from sidecar.proxy.mesh import Mesh
    from sidecar.relay.flow import Ending
    from sidecar.tls.handshake import TlsSession

_NO_ALPN_REMEMBERED: Final = 1024


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
    else:
        upstream, session = await _originate(
            addresses, destination, plan, mesh, connection
        )
        connection.flow = TlsFlow(
            client, upstream, session.connection, tls_downstream=False
        )
    return await mesh.engine.carry(connection.flow)


def _record(
    plan: Originate | PassThrough | Reject, mesh: Mesh, connection: Connection
) -> None:
    connection.rule = plan.rule
    verdict = Verdict.DENY if isinstance(plan, Reject) else Verdict.ALLOW
    connection.decision = verdict
    mesh.metrics.policy_decided(Direction.OUTBOUND, verdict, plan.rule)


async def _originate(
    addresses: Sequence[str],
    destination: Endpoint,
    plan: Originate,
    mesh: Mesh,
    connection: Connection,
) -> tuple[socket.socket, TlsSession]:
    """Dial, and shake hands with one of the peers that the route expects."""

    async def attempt(*, alpn: bool) -> tuple[socket.socket, TlsSession]:
        upstream = await dial_upstream(addresses, destination.port, mesh, connection)
        session = await _introduce(upstream, plan, mesh, connection, alpn=alpn)
        return upstream, session

    key = destination.host, destination.port
    try:
        if key not in mesh.no_alpn:
            try:
                return await attempt(alpn=True)
            except HandshakeError as error:
                if not error.alpn_refused:
                    raise
            if len(mesh.no_alpn) >= _NO_ALPN_REMEMBERED:
                mesh.no_alpn.clear()
            # RFC 7301, 3.2: a server may refuse a client all of whose protocols it
            # does not know. Ours only helps permissive ports, and no trust is in it.
            mesh.no_alpn.add(key)
        return await attempt(alpn=False)
    except HandshakeError as error:
        mesh.no_alpn.discard(key)  # another server may have the address by now
        raise Refused(Outcome.HANDSHAKE_FAILED, str(error), error.reason) from None


async def _introduce(
    upstream: socket.socket,
    plan: Originate,
    mesh: Mesh,
    connection: Connection,
    *,
    alpn: bool,
) -> TlsSession:
    """Shake hands over *upstream*, which is closed if that fails."""
    credentials = mesh.credentials
    connection.generation = credentials.generation

    async def connect() -> TlsSession:
        tls, check = credentials.connect(plan.peers, plan.server_name, alpn=alpn)
        return await mesh.outbound_gate.run(lambda: handshake(upstream, tls, check))

    with contextlib.ExitStack() as stack:
        stack.callback(upstream.close)
        try:
            session = await shake_hands(mesh, connection, connect)
        except HandshakeError as error:
            if error.alerted:
                await linger(upstream)
            raise
        stack.pop_all()
    peer = str(session.peer)
    mesh.metrics.peer_connected(Direction.OUTBOUND, peer, Verdict.ALLOW)
    return session
