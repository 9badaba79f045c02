"""The TLS leg of an outbound connection: dialled, and introduced to its peer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.net.sockopt import was_reset
from sidecar.proxy.outcome import Refused
from sidecar.proxy.steps import check_identity, dial_upstream, shake_hands
from sidecar.relay.tls_flow import TlsFlow
from sidecar.telemetry.labels import Direction, Outcome, Verdict
from sidecar.tls.errors import HandshakeError
from sidecar.tls.handshake import handshake, linger

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    import trio
    from OpenSSL import SSL

    from sidecar.config.model import Endpoint
    from sidecar.proxy.connection import Connection
    from sidecar.proxy.mesh import Mesh
    from sidecar.proxy.plan import Originate
    from sidecar.relay.flow import Ending
    from sidecar.tls.handshake import TlsSession
    from sidecar.tls.sessions import SessionSlot
    from sidecar.tls.verify import PeerCheck

_NO_ALPN_REMEMBERED: Final = 1024


@frozen
class TlsLeg:
    """An established connection to one of a route's peers; whoever has it closes it."""

    upstream: socket.socket
    session: TlsSession
    slot: SessionSlot
    """Where its session is kept for the next connection to the same server."""

    def flow(self, client: socket.socket) -> TlsFlow:
        """Join it with the application's connection."""
        tls, check = self.session.connection, self.session.check
        take = self.slot.taker(tls, check, resumed=self.session.resumed)
        return TlsFlow(
            client, self.upstream, tls, tls_downstream=False, first_read=take
        )

    def learn(self, flow: TlsFlow, ending: Ending) -> None:
        """Offer the session no more if the server ended without sending anything.

        That is how a server looks which took up a session and then thought better
        of it: its alert comes after our handshake, or not at all.
        """
        if ending.outcome is not Outcome.COMPLETED and not flow.sent:
            self.slot.forget()


async def originate(
    client: socket.socket,
    addresses: Sequence[str],
    destination: Endpoint,
    plan: Originate,
    mesh: Mesh,
    connection: Connection,
) -> TlsLeg:
    """Dial *destination*, and shake hands with one of the peers of the plan.

    For *client*, as long as that waits. Twice where a server cannot stand our ALPN protocol or to be asked to resume.

    Raises:
        Refused: Nobody answers there, or somebody else does; or *client* has left.

    Cancellation:
        Nothing is left open.
    """
    key = destination.host, destination.port
    credentials = check_identity(mesh, connection, plan.identity)
    slot = credentials.sessions.slot((*key, plan.rule))
    alpn = key not in mesh.no_alpn
    while True:
        upstream = await dial_upstream(addresses, destination.port, mesh, connection)
        tls, check = credentials.connect(plan.peers, plan.server_name, alpn=alpn)
        slot.offer(tls, check)
        try:
            session = await _introduce(client, upstream, tls, check, mesh, connection)
        except HandshakeError as error:
            if alpn and error.alpn_refused:
                alpn = False
                _remember(key, mesh.no_alpn)
            elif not slot.is_to_blame(error):
                mesh.no_alpn.discard(key)  # another server may have the address now
                why = str(error)
                raise Refused(Outcome.HANDSHAKE_FAILED, why, error.reason) from None
        else:
            peer = str(session.peer)
            mesh.metrics.peer_connected(Direction.OUTBOUND, peer, Verdict.ALLOW)
            return TlsLeg(upstream, session, slot)


def _remember(key: tuple[str, int], no_alpn: set[tuple[str, int]]) -> None:
    """Offer *key* no ALPN from now on.

    RFC 7301, 3.2: a server may refuse a client all of whose protocols it does not
    know. Ours only helps permissive ports, and no trust is in it.
    """
    if len(no_alpn) >= _NO_ALPN_REMEMBERED:
        no_alpn.clear()
    no_alpn.add(key)


async def _introduce(
    client: socket.socket,
    upstream: socket.socket,
    tls: SSL.Connection,
    check: PeerCheck,
    mesh: Mesh,
    connection: Connection,
) -> TlsSession:
    """Shake hands over *upstream*, which is closed if that fails."""

    async def begin() -> TlsSession:
        # Whoever called may have given up, dialling or in line for a place: a server
        # that is too slow already is spared the handshake.
        if was_reset(client):
            why = "it left before the handshake began"
            raise Refused(Outcome.RESET_BY_DOWNSTREAM, why)
        return await handshake(upstream, tls, check, hold=True)

    async def connect(scope: trio.CancelScope) -> TlsSession:
        return await mesh.outbound_gate.run(begin, scope)

    with contextlib.ExitStack() as stack:
        stack.callback(upstream.close)
        try:
            session = await shake_hands(mesh, connection, connect)
        except HandshakeError as error:
            if error.alerted:
                await linger(upstream)
            raise
        stack.pop_all()
        return session
