"""Accepting connections, and the one boundary at which every one of them ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from sidecar.net import listen
from sidecar.net.addr import endpoint_of
from sidecar.net.sockopt import reset
from sidecar.proxy import inbound, outbound
from sidecar.proxy.connection import Connection
from sidecar.proxy.outcome import Refused
from sidecar.proxy.report import report
from sidecar.relay.flow import Ending
from sidecar.telemetry.labels import Direction, Outcome

if TYPE_CHECKING:
    import socket

    from sidecar.config.model import Listener
    from sidecar.proxy.mesh import Mesh
    from sidecar.proxy.places import Places

_LOG = logging.getLogger(__name__)

# After so many at once the others of the process have their turns. Those who come in a
# storm go through their handshakes side by side, and what is relayed waits for the
# steps of all of them: with 32 three times as long as with 8. With 4 half as long
# again, but each new connection costs a tenth more.
_BURST: Final = 8

_CARRY = {Direction.INBOUND: inbound.carry, Direction.OUTBOUND: outbound.carry}


async def serve(
    sock: socket.socket,
    listener: Listener,
    direction: Direction,
    mesh: Mesh,
    slots: Places,
    nursery: trio.Nursery,
) -> None:
    """Accept for ever from *sock*, each connection a task in *nursery*.

    A slot is taken before the connection is: past the limit, callers wait in the
    backlog and are neither accepted nor refused. Listeners share the slots; one
    that nobody calls takes none.
    """

    def exhausted(error: OSError, pause: float) -> None:
        _LOG.warning(
            "cannot accept, will try again",
            extra={"error": str(error), "seconds": pause, "listen": listener.listen},
        )

    mesh.engine.yield_to(sock)
    while True:
        await trio.lowlevel.wait_readable(sock)
        await slots.acquire()
        accepted: listen.Accepted | None
        try:
            accepted = await listen.accept(sock, exhausted)
        except BaseException:
            slots.release()
            raise
        mesh.engine.make_way()
        left = _BURST
        while accepted is not None:
            client, address = accepted
            began = trio.current_time()
            connection = Connection(
                direction, endpoint_of(address), began, mesh.generations
            )
            # Registered before it is judged: a change of policy in between counts.
            mesh.connections.add(connection)
            mesh.metrics.connection_opened(direction)
            nursery.start_soon(handle, client, listener, connection, mesh, slots)
            # Those who came with it need no wake of their own.
            left -= 1
            accepted = _accept_another(sock, slots) if left else None


def _accept_another(sock: socket.socket, slots: Places) -> listen.Accepted | None:
    """Take a slot and accept, if there are one and the other at this moment."""
    if not slots.value:
        return None
    slots.acquire_nowait()
    accepted = listen.accept_now(sock)
    if accepted is None:
        slots.release()
    return accepted


async def handle(
    client: socket.socket,
    listener: Listener,
    connection: Connection,
    mesh: Mesh,
    slots: Places,
) -> None:
    """Carry one connection and report how it ended. Only `trio.Cancelled` escapes.

    Cancellation:
        Both legs are reset, and the connection is reported as drained.
    """
    ending = Ending(Outcome.DRAINED)
    lifetime = mesh.config.limits.lifetime_seconds
    if lifetime:
        connection.scope.deadline = connection.began + lifetime
    try:
        with connection.scope:
            ending = await _CARRY[connection.direction](
                client, listener, mesh, connection
            )
        if connection.scope.cancelled_caught:
            # Unless somebody ended it: then that is how it is reported.
            ending = Ending(Outcome.LIFETIME_OVER, f"open for {lifetime:g} seconds")
    except Refused as refused:
        ending = Ending(refused.outcome, str(refused), refused.reason)
    except OSError as error:
        ending = Ending(Outcome.RESET_BY_DOWNSTREAM, str(error))
    except Exception:  # noqa: BLE001 - the one boundary: a bug costs one connection
        _LOG.exception("a connection met a bug", extra={"source": connection.source})
        ending = Ending(Outcome.INTERNAL_ERROR)
    finally:
        # The relay has closed its sockets already; any other end is a reset, which
        # nobody takes for an empty answer.
        reset(client)
        mesh.connections.remove(connection)
        slots.release()
        try:
            report(connection, connection.cut or ending, mesh)
        except Exception:  # noqa: BLE001 - nor may a record cost the others
            _LOG.exception("a connection could not be reported")
