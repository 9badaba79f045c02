"""Every address that the configuration names, bound; and HTTP where it belongs."""

from __future__ import annotations

import errno
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sidecar.admin.accept import serve, stream_listener
from sidecar.admin.unix_socket import bound as bound_unix_socket
from sidecar.config.model import Endpoint, UnixSocket
from sidecar.net import listen
from sidecar.net.addr import endpoint_of
from sidecar.net.transparent import make_transparent

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from contextlib import ExitStack

    import trio

    from sidecar.admin.http import HttpLimits
    from sidecar.admin.messages import Handler
    from sidecar.config.model import Config

_LOG = logging.getLogger(__name__)


class BindError(Exception):
    """An address cannot be bound; the message names its place in the configuration."""


@contextmanager
def place(name: str, where: object) -> Iterator[None]:
    """Turn what goes wrong with an address into a sentence with its place.

    Raises:
        BindError: There was an OSError.
    """
    try:
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        if error.errno == errno.EACCES and isinstance(where, Endpoint):
            # ip(7); container runtimes mostly set it to 0 in a pod, others do not.
            why += (
                " (a port this low takes the capability net_bind_service, or a lower "
                "sysctl net.ipv4.ip_unprivileged_port_start)"
            )
        raise BindError(f"{name}: cannot listen there, {why}, got '{where}'") from None


def bind(
    name: str, where: Endpoint, stack: ExitStack, *, transparent: bool = False
) -> socket.socket:
    """Bind and listen; the end of *stack* closes it.

    Raises:
        BindError: The address is in use, or not ours to bind; or *transparent* takes a
            capability that we do not have.
    """
    with place(name, where):
        sock = listen.bind(where)
        stack.callback(sock.close)
        if transparent:
            make_transparent(sock)
    say_where(name, where, sock)
    return sock


def say_where(name: str, where: Endpoint, sock: socket.socket) -> None:
    """Say where *sock* is, if that is not *where*: nobody else knows.

    The kernel was asked for a port, or for IPv6 and has none.
    """
    there = endpoint_of(sock.getsockname())
    if there != where:
        _LOG.info("listening", extra={"key": name, "address": str(there)})


def bind_http(config: Config, stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Bind the telemetry and the admin listener, in this order.

    Raises:
        BindError: An address is in use, or not ours to bind.
    """
    telemetry = bind("telemetry.listen", config.telemetry, stack)
    if isinstance(config.admin, UnixSocket):
        with place("admin.listen", config.admin):
            admin = stack.enter_context(bound_unix_socket(config.admin.path))
    else:
        admin = bind("admin.listen", config.admin, stack)
    return telemetry, admin


async def start_http(
    background: trio.Nursery,
    handlers: Sequence[tuple[socket.socket, Handler, HttpLimits]],
) -> None:
    """Answer with each handler on its socket, within its limits, in *background*."""
    for sock, handler, limits in handlers:
        await background.start(serve, [stream_listener(sock)], handler, limits)
