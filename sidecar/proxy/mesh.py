"""What a connection may use: everything that its life needs, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from sidecar.proxy.connection import ConnectionTable

if TYPE_CHECKING:
    from sidecar.config.model import Config
    from sidecar.net.resolve import HostTable
    from sidecar.policy.compile import CompiledPolicy
    from sidecar.proxy.gate import HandshakeGate
    from sidecar.proxy.plan import OwnEndpoints
    from sidecar.proxy.routes import RouteTable
    from sidecar.relay.engine import Engine
    from sidecar.telemetry.access_log import AccessLog
    from sidecar.telemetry.metrics import Metrics
    from sidecar.tls.credentials import Credentials


@define(eq=False)
class Mesh:
    """Shared by all connections of the process.

    *credentials* and *policy* are replaced whole when they change; a connection
    takes them once.
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
    connections: ConnectionTable = field(factory=ConnectionTable)
    no_alpn: set[tuple[str, int]] = field(factory=set)
    """Destinations that refuse a handshake with an ALPN protocol they do not know."""
