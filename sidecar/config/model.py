"""The configuration as values: what `sidecar.yaml` says once it is known to be sound.

Nothing here reads a file or checks a rule. The defaults stand here and nowhere else;
`sidecar.config.structure` makes these values and refuses what breaks a rule.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from attrs import field, frozen

from sidecar.config.identity_model import (
    AdditionalIdentity as AdditionalIdentity,  # noqa: PLC0414
    Identity as Identity,  # noqa: PLC0414 - they are parts of the model, too
    NameKind as NameKind,  # noqa: PLC0414
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Network, IPv6Network
    from pathlib import Path

    from sidecar.policy.pattern import PeerPattern

ORIGINAL: Final = "original"
"""The destination of a redirected connection: ask the kernel where it was going."""


@frozen
class Endpoint:
    """A host and a TCP port.

    Attributes:
        host: An IP address in its canonical text, without brackets, or a host name in
            lower case.
        port: 1 to 65535; 0, in a `listen` only, lets the kernel choose.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@frozen
class UnixSocket:
    """A listening socket in the file system."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


@frozen
class Listener:
    """Where connections come in, and where each of them goes.

    Attributes:
        listen: The host is an IP address.
        destination: One fixed endpoint, or wherever the kernel redirected from.
        transparent: The application sees the caller's own address; inbound, with an
            original destination, and where TPROXY leads here.
    """

    listen: Endpoint
    destination: Endpoint | Literal["original"]
    transparent: bool = False


class Mode(StrEnum):
    """What an inbound port asks of a client."""

    STRICT = "strict"
    """Mutual TLS or nothing."""
    PERMISSIVE = "permissive"
    """Mutual TLS, and plaintext from peers that the policy knows as such."""
    DISABLED = "disabled"
    """No TLS: every peer is unauthenticated."""


class MissingCertificate(StrEnum):
    """What a TLS client without a certificate is told."""

    ALERT = "alert"
    HTTP_400 = "http-400"
    """A readable answer for an HTTP caller."""


class ProxyProtocol(StrEnum):
    """What the application is told of its caller, before the caller's first byte."""

    NONE = "none"
    ADDRESSES = "addresses"
    """A header of the PROXY protocol, with where the connection came from and went."""
    TLS = "tls"
    """The same, with what TLS says: who the peer is, version, cipher and the like."""


@frozen
class PortSettings:
    """What one destination port does differently."""

    mode: Mode | None = None
    missing_certificate: MissingCertificate = MissingCertificate.ALERT
    proxy_protocol: ProxyProtocol = ProxyProtocol.NONE
    identity: str | None = None
    """One of `identity.additional`, to be shown in place of the first."""


@frozen
class Inbound:
    """Connections that are meant for the application."""

    listeners: tuple[Listener, ...] = ()
    mode: Mode = Mode.STRICT
    ports: Mapping[int, PortSettings] = field(factory=dict)

    def mode_of(self, port: int) -> Mode:
        """The mode that holds for a destination port."""
        settings = self.ports.get(port)
        if settings is None or settings.mode is None:
            return self.mode
        return settings.mode

    def identity_of(self, port: int) -> str | None:
        """Which of our identities a destination port shows; None for the first."""
        settings = self.ports.get(port)
        return None if settings is None else settings.identity

    def missing_certificate(self, port: int) -> MissingCertificate:
        """What a client without a certificate is told on a destination port."""
        settings = self.ports.get(port)
        return (
            MissingCertificate.ALERT
            if settings is None
            else settings.missing_certificate
        )

    def proxy_protocol(self, port: int) -> ProxyProtocol:
        """What the application is told of its caller on a destination port."""
        settings = self.ports.get(port)
        return ProxyProtocol.NONE if settings is None else settings.proxy_protocol


class RouteMode(StrEnum):
    """What happens to a connection of the application that a route names."""

    MTLS = "mtls"
    PLAINTEXT = "plaintext"
    DENY = "deny"


@frozen
class Route:
    """One line of the secure-naming table: who must answer at which destination.

    Attributes:
        name: Unique; it is a metric label.
        to: Networks, and host names in lower case (to be resolved and kept fresh).
        ports: None stands for every port.
        mode: What happens to the connection.
        peers: Who may answer; at least one exactly when the mode is mtls.
        identity: One of `identity.additional`, to be shown in place of the first.
    """

    name: str
    to: tuple[IPv4Network | IPv6Network | str, ...]
    ports: frozenset[int] | None = None
    mode: RouteMode = RouteMode.MTLS
    peers: tuple[PeerPattern, ...] = ()
    identity: str | None = None


class OutboundDefault(StrEnum):
    """What a destination without a route gets."""

    DENY = "deny"
    PLAINTEXT = "plaintext"


@frozen
class Outbound:
    """Connections that the application makes; the first matching route decides."""

    listeners: tuple[Listener, ...] = ()
    default: OutboundDefault = OutboundDefault.DENY
    routes: tuple[Route, ...] = ()


@frozen
class Tls:
    """What is offered and accepted in a handshake.

    Attributes:
        clock_skew_seconds: A peer's certificate that is out of its time by less is
            refused as any other, but counted as a matter of clocks.
    """

    minimum_version: Literal["1.2", "1.3"] = "1.3"
    groups: tuple[str, ...] = ("X25519MLKEM768", "X25519", "P-256")
    clock_skew_seconds: float = 60.0


@frozen
class Limits:
    """What one process carries at once, and how long it waits; seconds are floats.

    Attributes:
        connections: Open at once; past it the backlog waits.
        handshakes: Under way at once.
        connect_seconds: For dialling, all addresses together.
        handshake_seconds: For one TLS handshake.
        detect_seconds: For the first bytes, on a permissive port.
        idle_seconds: Without a byte either way; 0 stands for ever.
        lifetime_seconds: From accept to the end, whatever it carries; likewise.
    """

    connections: int = 10_000
    handshakes: int = 256
    connect_seconds: float = 10.0
    handshake_seconds: float = 10.0
    detect_seconds: float = 5.0
    idle_seconds: float = 0.0
    lifetime_seconds: float = 0.0


@frozen
class Drain:
    """How long what has to end may go on.

    Attributes:
        delay_seconds: The process, told to stop, still accepts.
        deadline_seconds: Then it waits for what is open.
        revoked_seconds: A connection that would not be let in any more.
    """

    delay_seconds: float = 0.0
    deadline_seconds: float = 30.0
    revoked_seconds: float = 0.0


class LogLevel(StrEnum):
    """The least serious message that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class AccessLevel(StrEnum):
    """Which connections leave an access record."""

    ALL = "all"
    FAILURES = "failures"
    NONE = "none"


@frozen
class Log:
    """What is written down."""

    level: LogLevel = LogLevel.INFO
    access: AccessLevel = AccessLevel.ALL


@frozen
class Config:
    """All of `sidecar.yaml`; paths in it are relative to the working directory.

    Attributes:
        policy: The file with the rules; None only when nothing comes in.
        admin: Everything that changes state lives here.
        telemetry: Metrics and probes, read only.
        workers: How many processes; "auto" is one for each CPU of the cgroup.
    """

    identity: Identity = field(factory=Identity)
    inbound: Inbound = Inbound()
    outbound: Outbound = Outbound()
    policy: Path | None = None
    admin: Endpoint | UnixSocket = Endpoint("127.0.0.1", 15000)
    telemetry: Endpoint = Endpoint("0.0.0.0", 15020)  # noqa: S104 - Prometheus and the kubelet come from outside the pod
    tls: Tls = Tls()
    limits: Limits = Limits()
    drain: Drain = Drain()
    workers: int | Literal["auto"] = 1
    log: Log = Log()
