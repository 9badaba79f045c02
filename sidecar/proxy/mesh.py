"""What a connection may use: everything that its life needs, and nothing else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from sidecar.net.descriptors import room_for
from sidecar.proxy.connection import ConnectionTable, Generations

if TYPE_CHECKING:
    from sidecar.config.model import Config, Limits
    from sidecar.net.resolve import HostTable
    from sidecar.policy.compile import CompiledPolicy
    from sidecar.proxy.gate import HandshakeGate
    from sidecar.proxy.places import Places
    from sidecar.proxy.plan import OwnEndpoints
    from sidecar.proxy.routes import RouteTable
    from sidecar.relay.engine import Engine
    from sidecar.telemetry.access_log import AccessLog
    from sidecar.telemetry.metrics import Metrics
    from sidecar.tls.credentials import Credentials

_LOG = logging.getLogger(__name__)

_NEARLY: Final = 0.9  # a few less are not worth a word


@define(eq=False)
class Mesh:
    """Shared by all connections of the process.

    *config*, *credentials*, *policy* and *routes* are replaced whole when they change;
    a connection takes them once. Whoever replaces any says so by `put_in_force`.
    """

    config: Config
    credentials: Credentials
    policy: CompiledPolicy
    routes: RouteTable
    hosts: HostTable
    own: OwnEndpoints
    engine: Engine
    metrics: Metrics
    access_log: AccessLog
    inbound_gate: HandshakeGate
    outbound_gate: HandshakeGate
    """Apart, so that strangers at the door do not delay the application's calls."""
    slots: Places
    """One for each connection."""
    connections: ConnectionTable = field(factory=ConnectionTable)
    identified: trio.Event = field(factory=trio.Event)
    """Set once there are credentials to serve with."""
    no_alpn: set[tuple[str, int]] = field(factory=set)
    """Destinations that refuse a handshake with an ALPN protocol they do not know."""
    generations: Generations = field(factory=Generations)
    news: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)
    """Whoever waits here is told of new generations."""

    def resize(self, limits: Limits) -> None:
        """Hold what is shared to other *limits*; nothing that is open ends for it."""
        listeners = *self.config.inbound.listeners, *self.config.outbound.listeners
        room = room_for(limits.connections, len(listeners))
        if room < _NEARLY * limits.connections:
            _LOG.warning(
                "not enough open files for limits.connections",
                extra={"limit": limits.connections, "connections": room},
            )
        self.slots.resize(room)
        self.metrics.connections_limited(room)
        self.inbound_gate.resize(limits.handshakes)
        self.outbound_gate.resize(limits.handshakes)
        self.engine.cut_idle(limits.idle_seconds)

    def put_in_force(self, generations: Generations) -> None:
        """Have everything that is open judged again by what is here now."""
        self.generations = generations
        self.news.unpark_all()
