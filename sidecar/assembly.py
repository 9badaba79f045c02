"""Making what connections share out of a sound configuration."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from sidecar.config.check import check
from sidecar.config.model import Endpoint, Mode, RouteMode, UnixSocket
from sidecar.config.problems import ConfigError, Problem
from sidecar.config.wording import suggestion
from sidecar.net.local import is_local
from sidecar.net.resolve import HostTable
from sidecar.policy.compile import compile_policy
from sidecar.proxy.gate import HandshakeGate
from sidecar.proxy.mesh import Mesh
from sidecar.proxy.places import Places
from sidecar.proxy.plan import OwnEndpoints
from sidecar.proxy.routes import RouteTable
from sidecar.relay.engine import Engine
from sidecar.telemetry.capped import RULES
from sidecar.telemetry.labels import Direction, Verdict
from sidecar.tls.context import SSL_VERSION, CertificateError, check_groups
from sidecar.tls.credentials import Credentials, NoCredentials

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sidecar.config.check import Checked
    from sidecar.config.material import Material
    from sidecar.config.model import Config, Listener
    from sidecar.policy.compile import CompiledPolicy
    from sidecar.telemetry.access_log import AccessLog
    from sidecar.telemetry.metrics import Metrics

_GROUPS: Final = ("X25519MLKEM768", "X25519", "X448", "P-256", "P-384", "P-521")


def build_credentials(
    path: Path,
    checked: Checked,
    generation: int = 1,
    material: Material | None = None,
    before: Credentials | None = None,
) -> Credentials:
    """Make a generation of what TLS needs; *path* is the configuration's.

    *before* is the generation before it.

    *material* is what a Workload API brought; it is needed where *checked* has none,
    and as long as there is none, this gives `NoCredentials`.

    Raises:
        ConfigError: OpenSSL does not know one of the groups, or does not take our
            certificate.
    """
    tls = checked.config.tls
    material = material or checked.material
    if material is None and find_spec("grpc") is None:
        what = "needs grpcio, which is in the extra: pip install 'sidecar[spire]'"
        raise _error(path, checked, "identity.workload_api", what)
    try:
        if material is None:
            check_groups(tls)  # what is wrong with them is known at start
            return NoCredentials(generation)
        return Credentials(material, tls, generation, before=before)
    except CertificateError as error:
        files = checked.config.identity.from_files
        key = "certificate_chain" if files else "workload_api"
        if error.identity is not None:
            key = f"additional.{error.identity}.{key if files else 'hint'}"
        raise _error(path, checked, f"identity.{key}", str(error)) from None
    except ValueError as error:
        what = f"{SSL_VERSION} does not know the group {str(error)!r}"
        what = f"{what}{suggestion(str(error), _GROUPS)}"
        raise _error(path, checked, "tls.groups", what) from None


def _error(path: Path, checked: Checked, where: str, what: str) -> ConfigError:
    source = str(path)
    line = checked.lines.get(where)
    return ConfigError(source, (Problem(where, what, line, source),))


def read_again(
    path: Path, now: datetime, before: Checked
) -> tuple[Checked, CompiledPolicy | None]:
    """Load what the files say now; and its policy ready for use, if that has changed.

    Raises:
        ConfigError: At least one of the files will not do.
    """
    checked = check(path, now, before.endpoint_socket, before)
    changed = checked.policy != before.policy
    return checked, compile_policy(checked.policy) if changed else None


def build_mesh(
    path: Path,
    checked: Checked,
    metrics: Metrics,
    access_log: AccessLog,
    generation: int = 1,
) -> Mesh:
    """Make all that connections share; *path* is the configuration's.

    *generation* is that of its credentials.

    Raises:
        ConfigError: OpenSSL does not know one of the groups.
    """
    config = checked.config
    hosts = HostTable(
        host_names(config),
        lambda: mesh.routes.forget(),  # noqa: PLW0108 - mesh is made below
    )
    mesh = Mesh(
        config=config,
        credentials=build_credentials(path, checked, generation),
        policy=compile_policy(checked.policy),
        routes=RouteTable(config.outbound, hosts.addresses),
        hosts=hosts,
        own=OwnEndpoints(_own_endpoints(config), is_local),
        engine=Engine(config.limits.idle_seconds),
        metrics=metrics,
        access_log=access_log,
        inbound_gate=HandshakeGate(config.limits.handshakes, strangers=True),
        outbound_gate=HandshakeGate(config.limits.handshakes, strangers=False),
        slots=Places(0),
    )
    mesh.resize(config.limits)
    if checked.material is not None:
        mesh.identified.set()
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


def host_names(config: Config) -> list[str]:
    """List every host that the data path may have to dial or recognise."""
    routed = [to for route in config.outbound.routes for to in route.to]
    fixed = [each.destination for _, each, _ in listeners_of(config)]
    return [to for to in routed if isinstance(to, str)] + [
        each.host for each in fixed if isinstance(each, Endpoint)
    ]


def _own_endpoints(config: Config) -> tuple[Endpoint, ...]:
    admin = () if isinstance(config.admin, UnixSocket) else (config.admin,)
    data = (each.listen for _, each, _ in listeners_of(config))
    return (*data, config.telemetry, *admin)


def declare_labels(checked: Checked, metrics: Metrics) -> None:
    """Show the series that this configuration can come to, while they are zero."""
    config = checked.config
    declared: Counter[str] = Counter()
    for rule in checked.policy.rules:
        verdict = f"dry_run_{rule.action}" if rule.dry_run else rule.action
        if declared[verdict] <= RULES:  # those that follow are among `other`, once
            declared[verdict] += 1
            metrics.declare_rules([rule.name], verdicts=[Verdict(verdict)])
    for route in config.outbound.routes:
        denied = route.mode is RouteMode.DENY
        metrics.declare_rules(
            [route.name],
            verdicts=[Verdict.DENY if denied else Verdict.ALLOW],
            direction=Direction.OUTBOUND,
        )
    open_ports = [
        port
        for port in config.inbound.ports
        if config.inbound.mode_of(port) is not Mode.STRICT
    ]
    metrics.declare_ports(Direction.INBOUND, open_ports)


# Bound once, when the process starts.
_FIXED: Final = (
    "admin",
    "telemetry",
    "workers",
    "inbound.listeners",
    "outbound.listeners",
)


def not_reloaded(before: Config, after: Config) -> list[str]:
    """Name the keys whose change has to wait for the next start."""
    return [key for key in _FIXED if attrgetter(key)(before) != attrgetter(key)(after)]
