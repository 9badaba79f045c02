"""A mesh on real loopback sockets inside the test's own process, and its peers.

The peers are plain pyOpenSSL and plain sockets: nothing of ours vouches for itself.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import json
import os
import socket
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import trio
from attrs import define, evolve, field, frozen
from OpenSSL import SSL
from prometheus_client import CollectorRegistry

from sidecar.assembly import build_mesh, listeners_of
from sidecar.certs.authority import HOUR, Authority
from sidecar.config.check import Checked
from sidecar.config.material import Material
from sidecar.config.model import (
    ORIGINAL,
    Config,
    Endpoint,
    Identity,
    Inbound,
    Limits,
    Listener,
    Outbound,
)
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.net import listen
from sidecar.net.descriptors import room_for
from sidecar.policy.model import Action, Policy, Rule
from sidecar.policy.pattern import parse_pattern
from sidecar.proxy.report import publish_bytes
from sidecar.proxy.serve import serve
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.labels import Direction
from sidecar.telemetry.metrics import Metrics
from tests.support.sidecars import Record, Samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from sidecar.identity.svid import Svid
    from sidecar.proxy.mesh import Mesh
    from sidecar.proxy.places import Places

DOMAIN = "example.org"
LOOPBACK = Endpoint("127.0.0.1", 0)
ALPN = b"sidecar-mtls/1"

# --- Certificates


@functools.cache
def authority(trust_domain: str = DOMAIN) -> Authority:
    return Authority.create(trust_domain, now=now())


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@functools.cache
def svid(
    name: str, trust_domain: str = DOMAIN, *, begins: dt.timedelta = 0 * HOUR
) -> Svid:
    """An SVID for the service account *name*, good for an hour from *begins*."""
    peer = SpiffeId.parse(spiffe_id(name, trust_domain))
    return authority(trust_domain).issue(peer, now=now() + begins, lifetime=HOUR)


def spiffe_id(name: str, trust_domain: str = DOMAIN) -> str:
    return f"spiffe://{trust_domain}/ns/shop/sa/{name}"


# --- The mesh


def allow(*peers: str, name: str = "allowed", **scope: Any) -> Rule:
    return rule(Action.ALLOW, *peers, name=name, **scope)


def rule(action: Action, *peers: str, name: str, **scope: Any) -> Rule:
    """A rule for service accounts of our trust domain, or for any other pattern."""
    patterns = (
        parse_pattern(
            each if ":" in each or each == "unauthenticated" else spiffe_id(each)
        )
        for each in peers
    )
    return Rule(name, action, tuple(patterns), **scope)


@define
class Running:
    """A mesh that accepts connections, and what it has said so far."""

    mesh: Mesh
    ports: dict[Direction, int]
    slots: Places
    nursery: trio.Nursery
    """Holds the tasks of the connections."""
    _log: int
    _unread: bytes = b""
    all_records: list[Record] = field(factory=list)
    unwritten: int = 0
    """How many records the test itself has prevented."""

    def port(self, direction: Direction = Direction.INBOUND) -> int:
        return self.ports[direction]

    async def connect(self, direction: Direction = Direction.INBOUND) -> Wire:
        return await Wire.to(Endpoint("127.0.0.1", self.ports[direction]))

    async def records(self, count: int = 1) -> list[Record]:
        """Wait until there are *count* records in all; more are a failure."""
        with trio.fail_after(20):
            while len(self.all_records) < count:
                await trio.lowlevel.wait_readable(self._log)
                self.read_log()
        assert len(self.all_records) == count
        return self.all_records

    async def record(self) -> Record:
        return (await self.records(1))[0]

    def read_log(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._log, 65536):
                self._unread += piece
        *lines, self._unread = self._unread.split(b"\n")
        self.all_records += map(json.loads, lines)

    def samples(self) -> Samples:
        return Samples.parse(self.mesh.metrics.render().decode())

    def handshakes(self, **labels: str) -> float:
        return self.samples().sum("sidecar_handshakes_total", **labels)

    async def wait_open(self, count: int) -> None:
        """Wait until *count* connections are registered."""
        await _until(lambda: len(self.mesh.connections) == count)

    async def wait_flows(self, count: int) -> None:
        """Wait until *count* connections are relayed."""
        await _until(lambda: len(self.mesh.engine.flows) == count)


async def _until(happened: Callable[[], bool]) -> None:
    with trio.fail_after(20):
        while not happened():
            await trio.lowlevel.checkpoint()


def configuration(
    inbound: Inbound | None = None,
    outbound: Outbound | None = None,
    *,
    to: Endpoint | None = None,
    limits: Limits | None = None,
    **others: Any,
) -> Config:
    """A configuration whose listeners are on loopback, at ports that are free.

    Args:
        inbound: given without listeners, it gets one.
        outbound: likewise; without either there is an inbound listener.
        to: where the listeners lead; without it they ask the kernel.
    """
    listeners = (Listener(LOOPBACK, ORIGINAL if to is None else to),)
    if inbound is None and outbound is None:
        inbound = Inbound()
    if inbound is not None and not inbound.listeners:
        inbound = evolve(inbound, listeners=listeners)
    if outbound is not None and not outbound.listeners:
        outbound = evolve(outbound, listeners=listeners)
    return Config(
        Identity(),
        inbound=inbound or Inbound(),
        outbound=outbound or Outbound(),
        admin=Endpoint("127.0.0.1", 1),
        telemetry=Endpoint("127.0.0.1", 2),
        limits=limits or Limits(),
        **others,
    )


@contextlib.asynccontextmanager
async def running(
    config: Config,
    *rules: Rule,
    own: Svid | None = None,
    partners: tuple[str, ...] = (),
) -> AsyncIterator[Running]:
    """Serve *config* while the block lasts; then hold it to what it owes everybody.

    Whatever the test did: each connection that was accepted has left one record, none
    is open or counted as open, all slots are free and no relay is left.
    """
    sockets, config = _bind(config)
    log_in, log_out = os.pipe()
    os.set_blocking(log_in, False)
    metrics = Metrics(CollectorRegistry())
    access_log = AccessLog(log_out, config.log.access, metrics.access_records_dropped)
    checked = Checked(
        config, Policy(rules=rules), material(own or svid("api"), *partners), ()
    )
    mesh = build_mesh(Path("sidecar.yaml"), checked, metrics, access_log)

    def publish() -> None:
        for connection in mesh.connections:
            publish_bytes(connection, mesh)

    metrics.on_scrape(publish)
    await mesh.hosts.refresh()
    slots = mesh.slots
    try:
        async with trio.open_nursery() as background:
            await background.start(access_log.run)
            background.start_soon(mesh.engine.run)
            async with trio.open_nursery() as connections:
                ports = {}
                for (direction, listener, _), sock in sockets:
                    ports[direction] = sock.getsockname()[1]
                    connections.start_soon(
                        serve, sock, listener, direction, mesh, slots, connections
                    )
                started = Running(mesh, ports, slots, connections, log_in)
                yield started
                connections.cancel_scope.cancel()
            background.cancel_scope.cancel()
        _check(started)
    finally:
        mesh.engine.close()
        for _, sock in sockets:
            sock.close()
        os.close(log_in)
        os.close(log_out)


def _bind(
    config: Config,
) -> tuple[list[tuple[tuple[Direction, Listener, str], socket.socket]], Config]:
    """Bind all listeners; give the configuration with the ports that they got."""
    sockets = [listen.bind(each.listen) for _, each, _ in listeners_of(config)]
    bound = [
        evolve(each, listen=evolve(each.listen, port=sock.getsockname()[1]))
        for (_, each, _), sock in zip(listeners_of(config), sockets, strict=True)
    ]
    count = len(config.inbound.listeners)
    config = evolve(
        config,
        inbound=evolve(config.inbound, listeners=tuple(bound[:count])),
        outbound=evolve(config.outbound, listeners=tuple(bound[count:])),
    )
    return list(zip(listeners_of(config), sockets, strict=True)), config


def material(own: Svid, *partners: str) -> Material:
    """What a workload needs to be *own*; it trusts its own domain and its partners."""
    bundles = {name: authority(name).bundle for name in (DOMAIN, *partners)}
    return Material(svid=own, bundles=bundles)


def _check(ended: Running) -> None:
    mesh = ended.mesh
    assert len(mesh.connections) == 0
    assert mesh.engine.flows == set()
    listeners = len(listeners_of(mesh.config))
    assert ended.slots.value == room_for(mesh.config.limits.connections, listeners)
    samples = ended.samples()
    assert samples["sidecar_connections_open"] == 0
    for gate in (mesh.inbound_gate, mesh.outbound_gate):
        assert not gate._running
        assert gate._places.value == mesh.config.limits.handshakes
    ended.read_log()
    if mesh.access_log.wants(failed=False):
        expected = samples["sidecar_connections_total"] - ended.unwritten
        assert len(ended.all_records) == expected


# --- Peers


class Hearing(ABC):
    """What a peer hears, as a whole."""

    @abstractmethod
    async def receive(self) -> bytes:
        """What has come; b"" is the end."""

    async def receive_all(self) -> bytes:
        pieces = []
        while piece := await self.receive():
            pieces.append(piece)
        return b"".join(pieces)

    async def was_reset(self) -> bytes:
        """Wait for a reset, an end is a failure; give what came before."""
        seen = b""
        try:
            while piece := await self.receive():
                seen += piece
        except ConnectionResetError:
            return seen
        raise AssertionError(f"an end, not a reset, after {seen!r}")


@define
class Wire(Hearing):
    """A TCP connection of a peer, with no manners of its own."""

    sock: trio.socket.SocketType

    @classmethod
    async def to(cls, where: Endpoint) -> Self:
        sock = trio.socket.socket(
            socket.AF_INET6 if ":" in where.host else socket.AF_INET
        )
        try:
            await sock.connect((where.host, where.port))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[await self.sock.send(rest) :]

    async def receive(self) -> bytes:
        """What has come; b"" is the end.

        Raises:
            ConnectionResetError: the other side has reset the connection.
        """
        with trio.fail_after(20):
            return await self.sock.recv(65536)

    async def was_reset_or_ended(self) -> bytes:
        """Wait for either; give what came before."""
        seen = b""
        with contextlib.suppress(ConnectionError):
            while piece := await self.receive():
                seen += piece
        return seen

    def end(self) -> None:
        """Say that nothing more will come, if anybody is left; go on reading."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()


class Truncated(Exception):
    """TCP ended before TLS did."""


class Tls(Hearing):
    """TLS over a wire: pyOpenSSL over memory, that no certificate displeases."""

    def __init__(self, wire: Wire, context: SSL.Context, *, server: bool) -> None:
        self.wire = wire
        self.alerts: list[int] = []
        """The numbers of the alerts that came, but for close_notify."""
        self.connection = SSL.Connection(context, None)
        self.connection.set_app_data(self)
        if server:
            self.connection.set_accept_state()
        else:
            self.connection.set_connect_state()

    async def handshake(self) -> Self:
        await self._do(self.connection.do_handshake)
        return self

    async def send(self, data: bytes) -> None:
        await self._do(lambda: self.connection.sendall(data))

    async def receive(self) -> bytes:
        """What has come; b"" is the end.

        Raises:
            Truncated: the end came without close_notify.
            ConnectionResetError: the other side has reset the connection.
            SSL.Error: TLS broke, or the peer sent an alert: see `alerts`.
        """
        try:
            data: bytes = await self._do(lambda: self.connection.recv(65536))
        except SSL.ZeroReturnError:
            return b""
        return data

    async def end(self) -> None:
        """Send close_notify; go on reading."""
        self.connection.shutdown()
        await self._flush()

    async def _do(self, action: Callable[[], Any]) -> Any:
        while True:
            try:
                return action()
            except SSL.WantReadError:
                pass
            finally:
                # An alert of ours goes out as well, if there is anybody left.
                await self._flush()
            data = await self.wire.receive()
            if not data:
                raise Truncated
            self.connection.bio_write(data)

    async def _flush(self) -> None:
        with contextlib.suppress(SSL.WantReadError):
            while data := self.connection.bio_read(65536):
                await self.wire.send(data)


def context(
    method: int,
    who: Svid | None,
    *,
    alpn: bytes | None = None,
    select: Callable[[list[bytes]], bytes] | None = None,
    believe: bool = True,
    version: int = SSL.TLS1_3_VERSION,
    names_sessions: bool = True,
) -> SSL.Context:
    """What a peer needs that is *who*; as a client it may be nobody.

    Args:
        method: SSL.TLS_CLIENT_METHOD or SSL.TLS_SERVER_METHOD.
        who: whose certificate it shows.
        alpn: the protocol that a client offers.
        select: chooses one as a server; what it raises refuses the handshake.
        believe: whether a server takes the client's certificate, whatever it is.
        version: the only version of TLS that it speaks.
        names_sessions: False for a server that fails whoever asks it to resume.
    """
    made = SSL.Context(method)
    made.set_min_proto_version(version)
    made.set_max_proto_version(version)
    made.set_info_callback(_note_alert)
    if method == SSL.TLS_SERVER_METHOD:
        if names_sessions:
            made.set_session_id(b"test")
        made.set_verify(
            SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: believe
        )
    if who is not None:
        leaf, *issuers = who.chain
        made.use_certificate(leaf)
        made.use_privatekey(who.private_key)
        for each in issuers:
            made.add_extra_chain_cert(each)
    if alpn is not None:
        made.set_alpn_protos([alpn])
    if select is not None:
        made.set_alpn_select_callback(lambda _, offered: select(offered))
    return made


def _note_alert(connection: SSL.Connection, where: int, value: int) -> None:
    if where == SSL.SSL_CB_READ_ALERT and value & 0xFF:
        connection.get_app_data().alerts.append(value & 0xFF)


def client(wire: Wire, who: Svid | None, **options: Any) -> Tls:
    return Tls(wire, context(SSL.TLS_CLIENT_METHOD, who, **options), server=False)


def hello(**options: Any) -> bytes:
    """The first flight of a client."""
    connection = SSL.Connection(context(SSL.TLS_CLIENT_METHOD, None, **options), None)
    connection.set_connect_state()
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(65536)


# --- Applications


@frozen
class Application:
    """A listener that counts whom it accepted; a bomb, where nobody must come."""

    endpoint: Endpoint
    accepted: list[Wire] = field(factory=list)


async def echo(wire: Wire) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await wire.sock.recv(65536):
            await wire.send(piece)
        wire.end()


@contextlib.asynccontextmanager
async def application(
    handler: Callable[[Wire], Awaitable[None]] = echo, host: str = "127.0.0.1"
) -> AsyncIterator[Application]:
    """Serve each connection with *handler*, and close it after that."""
    with trio.socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET
    ) as listener:
        await listener.bind((host, 0))
        listener.listen()
        app = Application(Endpoint(host, listener.getsockname()[1]))

        async def handle(wire: Wire) -> None:
            with wire:
                await handler(wire)

        async with trio.open_nursery() as nursery:

            async def accept() -> None:
                while True:
                    sock, _ = await listener.accept()
                    app.accepted.append(Wire(sock))
                    nursery.start_soon(handle, app.accepted[-1])

            nursery.start_soon(accept)
            yield app
            nursery.cancel_scope.cancel()


def speaks_tls(
    who: Svid, handler: Callable[[Tls], Awaitable[None]] | None = None, **options: Any
) -> Callable[[Wire], Awaitable[None]]:
    """A handler of connections that asks for a certificate and believes any."""
    made = context(SSL.TLS_SERVER_METHOD, who, **options)

    async def handle(wire: Wire) -> None:
        tls = Tls(wire, made, server=True)
        await (handler or echo_tls)(await tls.handshake())

    return handle


async def echo_tls(tls: Tls) -> None:
    while piece := await tls.receive():
        await tls.send(piece)
    await tls.end()


def nobody_there() -> Endpoint:
    """An address where nobody listens: what was taken there is given back."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return Endpoint("127.0.0.1", taken.getsockname()[1])


@contextlib.contextmanager
def full_backlog() -> Iterator[Endpoint]:
    """An address that answers no SYN: nobody accepts, and nobody else fits in."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(2):
            waits = stack.enter_context(socket.socket())
            waits.setblocking(False)
            waits.connect_ex(listener.getsockname())
        yield Endpoint("127.0.0.1", listener.getsockname()[1])
