"""Making what connections share out of a sound configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.model import Endpoint, UnixSocket
from sidecar.config.problems import ConfigError, Problem
from sidecar.net.local import is_local
from sidecar.net.resolve import HostTable
from sidecar.policy.compile import compile_policy
from sidecar.proxy.gate import HandshakeGate
from sidecar.proxy.mesh import Mesh
from sidecar.proxy.plan import OwnEndpoints
from sidecar.proxy.routes import RouteTable
from sidecar.relay.engine import Engine
from sidecar.telemetry.labels import Direction
from sidecar.tls.context import SSL_VERSION
from sidecar.tls.credentials import Credentials

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.config.check import Checked
    from sidecar.config.model import Config, Listener
    from sidecar.telemetry.access_log import AccessLog
    from sidecar.telemetry.metrics import Metrics


def build_credentials(path: Path, checked: Checked) -> Credentials:
    """Make the first generation of what TLS needs; *path* is the configuration's.

    Raises:
        ConfigError: OpenSSL does not know one of the groups.
    """
    try:
        return Credentials(checked.material, checked.config.tls)
    except ValueError as error:
        problem = Problem(
            "tls.groups", f"{SSL_VERSION} does not know the group {str(error)!r}"
        )
        raise ConfigError(str(path), (problem,)) from None


def build_mesh(
    path: Path, checked: Checked, metrics: Metrics, access_log: AccessLog
) -> Mesh:
    """Make all that connections share; *path* is the configuration's.

    Raises:
        ConfigError: OpenSSL does not know one of the groups.
    """
    config = checked.config
    hosts = HostTable(
        _host_names(config),
        lambda: mesh.routes.forget(),  # noqa: PLW0108 - mesh is made below
    )
    mesh = Mesh(
        config=config,
        credentials=build_credentials(path, checked),
        policy=compile_policy(checked.policy),
        routes=RouteTable(config.outbound, hosts.addresses),
        hosts=hosts,
        own=OwnEndpoints(_own_endpoints(config), is_local),
        engine=Engine(config.limits.idle_seconds),
        metrics=metrics,
        access_log=access_log,
        inbound_gate=HandshakeGate(config.limits.handshakes),
        outbound_gate=HandshakeGate(config.limits.handshakes),
    )
    return mesh


def listeners_of(config: Config) -> list[tuple[Direction, Listener, str]]:
    """List the listeners of the data path, each with its place in the file."""
    return [
        (direction, listener, f"{direction}.listeners[{number}]")
        for direction, listeners in (
            (Direction.INBOUND, config.inbound.listeners),
            (Direction.OUTBOUND, config.outbound.listeners),
        )
        for number, listener in enumerate(listeners)
    ]


def _host_names(config: Config) -> list[str]:
    routed = [to for route in config.outbound.routes for to in route.to]
    fixed = [each.destination for _, each, _ in listeners_of(config)]
    return [to for to in routed if isinstance(to, str)] + [
        each.host for each in fixed if isinstance(each, Endpoint)
    ]


def _own_endpoints(config: Config) -> tuple[Endpoint, ...]:
    admin = () if isinstance(config.admin, UnixSocket) else (config.admin,)
    data = (each.listen for _, each, _ in listeners_of(config))
    return (*data, config.telemetry, *admin)
