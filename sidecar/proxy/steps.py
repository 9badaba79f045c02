"""The steps that both directions take, each ending in a result or in `Refused`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from sidecar.config.model import ORIGINAL, Endpoint
from sidecar.net import dial, original_dst
from sidecar.proxy.outcome import Refused
from sidecar.telemetry.labels import Outcome, Reason
from sidecar.tls.errors import HandshakeError

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Sequence

    from sidecar.config.model import Listener
    from sidecar.proxy.connection import Connection
    from sidecar.proxy.mesh import Mesh
    from sidecar.tls.handshake import TlsSession


def find_destination(sock: socket.socket, listener: Listener) -> Endpoint:
    """Say where the accepted *sock* is meant to go.

    Raises:
        Refused: The kernel does not know.
    """
    if isinstance(listener.destination, Endpoint):
        return listener.destination
    found = original_dst.original_dst(sock)
    if found is None:
        raise Refused(
            Outcome.NO_DESTINATION,
            f"destination: {ORIGINAL}, but the connection was not redirected",
        )
    return found


async def dial_upstream(
    addresses: Sequence[str], port: int, mesh: Mesh, connection: Connection
) -> socket.socket:
    """Dial the first of *addresses* that answers.

    Raises:
        Refused: None did; the caller's peer is to see a reset, as it would have
            without us.

    Cancellation:
        Nothing is left open.
    """
    seconds = mesh.config.limits.connect_seconds
    try:
        with trio.fail_after(seconds):
            sock = await dial.dial(addresses, port)
    except trio.TooSlowError:
        raise Refused(
            Outcome.UPSTREAM_TIMEOUT, f"no answer in {seconds:g} seconds"
        ) from None
    except ConnectionRefusedError as error:
        raise Refused(Outcome.UPSTREAM_REFUSED, str(error)) from None
    except OSError as error:
        raise Refused(Outcome.UPSTREAM_UNREACHABLE, str(error)) from None
    connection.upstream = str(Endpoint(*sock.getpeername()[:2]))
    return sock


async def shake_hands(
    mesh: Mesh, connection: Connection, handshake: Callable[[], Awaitable[TlsSession]]
) -> TlsSession:
    """Do *handshake* within its time, and count how it went.

    Raises:
        HandshakeError: It failed, whatever the cause.
    """
    limit = mesh.config.limits.handshake_seconds
    began = trio.current_time()
    connection.reason = Reason.OK
    session: TlsSession | None = None
    try:
        with trio.fail_after(limit):
            session = await handshake()
    except HandshakeError as error:
        connection.reason = error.reason
        raise
    except trio.TooSlowError:
        connection.reason = Reason.TIMEOUT
        raise HandshakeError(Reason.TIMEOUT, f"not done in {limit:g} seconds") from None
    except OSError as error:
        connection.reason = Reason.RESET
        raise HandshakeError(Reason.RESET, str(error)) from None
    finally:
        mesh.metrics.handshake_finished(
            connection.direction,
            connection.reason,
            resumed=session is not None and session.resumed,
            seconds=trio.current_time() - began,
        )
    connection.session = session
    connection.peer = session.peer
    return session
