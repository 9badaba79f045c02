"""Inbound: from the mesh to the local application.

`carry` is the life of a connection, top to bottom. The application is not dialled,
let alone sent a byte, before the policy has said yes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sidecar.net.addr import address_of
from sidecar.policy import evaluate as evaluation
from sidecar.policy.evaluate import evaluate
from sidecar.proxy.announce import announce, header_of
from sidecar.proxy.missing_certificate import NoCertificate, answer_http
from sidecar.proxy.outcome import Refused
from sidecar.proxy.plan import Detect, PassThrough, Reject, Terminate, plan_inbound
from sidecar.proxy.recheck import admit_again
from sidecar.proxy.steps import (
    check_identity,
    dial_upstream,
    find_destination,
    shake_hands,
)
from sidecar.relay.plain_flow import PlainFlow
from sidecar.relay.tls_flow import TlsFlow
from sidecar.telemetry.labels import Direction, Outcome, Reason, Verdict
from sidecar.tls import peek
from sidecar.tls.client_hello import ClientHello
from sidecar.tls.context import ALPN
from sidecar.tls.errors import HandshakeError
from sidecar.tls.handshake import handshake, linger, looks_like_plaintext

if TYPE_CHECKING:
    import socket

    import trio

    from sidecar.config.model import Listener
    from sidecar.proxy.connection import Connection
    from sidecar.proxy.mesh import Mesh
    from sidecar.relay.flow import Ending
    from sidecar.tls.handshake import TlsSession


# The policy has its own words for them, being below telemetry.
_VERDICTS: Final = {each: Verdict(each) for each in evaluation.Verdict}


async def carry(
    client: socket.socket, listener: Listener, mesh: Mesh, connection: Connection
) -> Ending:
    """Carry one inbound connection from accept to close, and say how it ended.

    The caller owns *client*, registers *connection*, and reports what comes of it.

    Raises:
        Refused: The connection was turned away, or broke before it was relayed.
        OSError: The client's connection broke.

    Cancellation:
        Both legs are reset at once and bytes in flight are lost.
    """
    destination = connection.destination = find_destination(
        client, listener, connection.source
    )
    addresses = mesh.hosts.addresses(destination.host)
    plan = plan_inbound(mesh.config.inbound, destination, addresses, mesh.own)
    first = b""
    if isinstance(plan, Detect):
        plan, first = await _detect(client, plan, mesh)
    if isinstance(plan, Reject):
        raise Refused(plan.outcome, plan.detail)

    if isinstance(plan, Terminate):
        session = await _terminate(client, first, plan, mesh, connection)
    else:
        session = None
        mesh.metrics.plaintext_connection(connection.direction, destination.port)

    _authorize(mesh, connection, destination.port)

    told = mesh.config.inbound.proxy_protocol(destination.port)
    header = header_of(client, listener, connection, told)
    upstream = await dial_upstream(
        addresses, destination.port, mesh, connection, as_caller=listener.transparent
    )
    if header:
        await announce(upstream, header, mesh.config.limits.connect_seconds)
    connection.flow = (
        PlainFlow(client, upstream, first)
        if session is None
        else TlsFlow(client, upstream, session.connection, tls_downstream=True)
    )
    admit_again(mesh, connection)
    return await mesh.engine.carry(connection.flow)


async def _detect(
    client: socket.socket, plan: Detect, mesh: Mesh
) -> tuple[Terminate | PassThrough, bytes]:
    """Tell mesh TLS from the application's own and from plaintext."""
    seconds = mesh.config.limits.detect_seconds
    hello, first = await peek.client_hello(client, seconds)
    if isinstance(hello, ClientHello) and ALPN in hello.alpn:
        return plan.terminate, first
    return PassThrough(), first


async def _terminate(
    client: socket.socket,
    first: bytes,
    plan: Terminate,
    mesh: Mesh,
    connection: Connection,
) -> TlsSession:
    """Answer the client's handshake; one that fails is told why."""
    credentials = check_identity(mesh, connection, plan.identity)

    async def accept(scope: trio.CancelScope) -> TlsSession:
        hello = first or await peek.receive(client)
        if not hello:
            raise HandshakeError(Reason.RESET, "the peer left without a word")
        if looks_like_plaintext(hello):
            raise HandshakeError(Reason.PLAINTEXT, "the peer does not speak TLS")

        async def answer() -> TlsSession:
            # After a wait it may have given up. Most of what a handshake costs is
            # ours: where calls come faster than that, those that are over must not
            # delay the others.
            if peek.has_left(client):
                raise HandshakeError(Reason.RESET, "the peer left after its hello")
            tls, check = credentials.accept(
                certificate_required=plan.certificate_required
            )
            return await handshake(client, tls, check, hello)

        # The place is taken only now: a client that says nothing holds up nobody.
        session = await mesh.inbound_gate.run(answer, scope)
        if session.peer is None:
            raise NoCertificate(session)
        return session

    try:
        return await shake_hands(mesh, connection, accept)
    except HandshakeError as error:
        await _explain(client, plan, error)
        raise Refused(Outcome.HANDSHAKE_FAILED, str(error), error.reason) from None


async def _explain(
    client: socket.socket, plan: Terminate, error: HandshakeError
) -> None:
    """Leave the client time to read the alert, or the answer in HTTP."""
    if isinstance(error, NoCertificate):
        await answer_http(client, error.session)
    elif error.reason is Reason.PLAINTEXT and not plan.certificate_required:
        await answer_http(client, None)
    elif error.alerted:
        await linger(client)


def _authorize(mesh: Mesh, connection: Connection, port: int) -> None:
    """Ask the policy, and count what it says.

    Raises:
        Refused: It said no. The peer sees a reset, and never which rule it was.
    """
    source = address_of(connection.source.host)
    decision = evaluate(mesh.policy, connection.peer, port, source)
    connection.rule = decision.rule
    connection.decision = verdict = _VERDICTS[decision.verdict]
    mesh.metrics.policy_decided(Direction.INBOUND, verdict, decision.rule)
    if decision.dry_run is not None:
        would = Verdict(f"dry_run_{decision.dry_run.verdict}")
        mesh.metrics.policy_decided(Direction.INBOUND, would, decision.dry_run.rule)
    if connection.peer is not None:
        mesh.metrics.peer_connected(Direction.INBOUND, str(connection.peer), verdict)
    if not decision.allowed:
        why = f"denied by the rule {decision.rule!r}" if decision.rule else "no rule"
        raise Refused(Outcome.DENIED, decision.near_miss or why)
