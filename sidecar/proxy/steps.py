"""The steps that both directions take, each ending in a result or in `Refused`."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Final

import trio

from sidecar.config.model import ORIGINAL, Endpoint
from sidecar.net import dial, original_dst
from sidecar.net.addr import endpoint_of
from sidecar.net.local import is_for_us
from sidecar.proxy.gate import stalled
from sidecar.proxy.outcome import Refused
from sidecar.telemetry.labels import Outcome, Reason
from sidecar.tls.errors import HandshakeError

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeAlias

    from sidecar.config.model import Listener
    from sidecar.proxy.connection import Connection
    from sidecar.proxy.mesh import Mesh
    from sidecar.tls.credentials import Credentials
    from sidecar.tls.handshake import TlsSession

    Handshake: TypeAlias = Callable[[trio.CancelScope], Awaitable[TlsSession]]


_DIAL_OUTCOMES: Final[dict[int | None, Outcome]] = {
    errno.ECONNREFUSED: Outcome.UPSTREAM_REFUSED,
    errno.ETIMEDOUT: Outcome.UPSTREAM_TIMEOUT,
    # It accepted, and thought better of it before we looked.
    errno.ECONNRESET: Outcome.RESET_BY_UPSTREAM,
    errno.ENOTCONN: Outcome.RESET_BY_UPSTREAM,
}


def find_destination(
    sock: socket.socket, listener: Listener, caller: Endpoint | None = None
) -> Endpoint:
    """Say where the accepted *sock* is meant to go.

    Where there is a *caller*, a redirected connection must be meant for an address
    of ours, and for loopback only if the caller is here: a neighbour may send packets
    for others through us, and iptables redirects them, too, unless told otherwise.
    Carried on, they would make us an open proxy.

    Raises:
        Refused: The kernel does not know, or it is not for us.
    """
    if isinstance(listener.destination, Endpoint):
        return listener.destination
    if listener.transparent:  # TPROXY leaves the connection's addresses as they are
        found: Endpoint | None = endpoint_of(sock.getsockname())
    else:
        found = original_dst.original_dst(sock)
    if found is None:
        raise Refused(
            Outcome.NO_DESTINATION,
            f"destination: {ORIGINAL}, but the connection was not redirected",
        )
    if caller is not None and not is_for_us(found.host, caller.host):
        detail = f"redirected to us, but {found} is no address of ours to {caller.host}"
        raise Refused(Outcome.NO_DESTINATION, detail)
    return found


async def dial_upstream(
    addresses: Sequence[str],
    port: int,
    mesh: Mesh,
    connection: Connection,
    *,
    as_caller: bool = False,
) -> socket.socket:
    """Dial the first of *addresses* that answers; *as_caller*, from its address.

    Raises:
        Refused: None did; the caller's peer is to see a reset, as it would have
            without us.

    Cancellation:
        Nothing is left open.
    """
    seconds = mesh.config.limits.connect_seconds
    # A link-local address is one of an interface, and ours leads over another.
    source = connection.source.host if as_caller else None
    source = None if source is None or "%" in source else source
    sock = None
    try:
        with trio.move_on_after(seconds):
            sock = await dial.dial(addresses, port, source)
    except OSError as error:
        outcome = _DIAL_OUTCOMES.get(error.errno, Outcome.UPSTREAM_UNREACHABLE)
        raise Refused(outcome, str(error)) from None
    if sock is None:
        raise Refused(Outcome.UPSTREAM_TIMEOUT, f"no answer in {seconds:g} seconds")
    if len(addresses) == 1:
        connection.upstream = Endpoint(addresses[0], port)
        return sock
    with contextlib.suppress(OSError):  # it has reset us since: the relay will see it
        connection.upstream = endpoint_of(sock.getpeername())
    return sock


def check_identity(
    mesh: Mesh, connection: Connection, identity: str | None
) -> Credentials:
    """Give what a handshake of now is done with, as one of our identities.

    Raises:
        Refused: We have nothing to show that a peer would take.
    """
    credentials = mesh.credentials.of(identity)
    connection.generation = credentials.generation
    why = credentials.unusable()
    if why is not None:
        _count(mesh, connection, Reason.NO_IDENTITY, trio.current_time())
        raise Refused(Outcome.HANDSHAKE_FAILED, why, Reason.NO_IDENTITY)
    if credentials.svid is not None:
        connection.identity = credentials.svid.name
    return credentials


async def shake_hands(
    mesh: Mesh, connection: Connection, handshake: Handshake
) -> TlsSession:
    """Do *handshake* within its time, and count how it went.

    It is given the scope that ends it, for the gate to use.

    Raises:
        HandshakeError: It failed, whatever the cause.
        Refused: It was not begun, and is not counted.

    Cancellation:
        It is not counted: whether it would have failed is not known.
    """
    began = trio.current_time()
    try:
        session = await _in_time(handshake, mesh.config.limits.handshake_seconds)
    except HandshakeError as error:
        _count(mesh, connection, error.reason, began)
        raise
    connection.session = session
    connection.peer = session.peer
    _count(mesh, connection, Reason.OK, began)
    return session


def _count(mesh: Mesh, connection: Connection, reason: Reason, began: float) -> None:
    connection.reason = reason
    mesh.metrics.handshake_finished(
        connection.direction,
        reason,
        resumed=connection.session is not None and connection.session.resumed,
        seconds=trio.current_time() - began,
    )


async def _in_time(handshake: Handshake, seconds: float) -> TlsSession:
    due = trio.current_time() + seconds
    scope = trio.CancelScope(deadline=due)
    try:
        with scope:
            return await handshake(scope)
    except OSError as error:
        raise HandshakeError(Reason.RESET, str(error)) from None
    if trio.current_time() < due:
        raise stalled()
    raise HandshakeError(Reason.TIMEOUT, f"not done in {seconds:g} seconds")
