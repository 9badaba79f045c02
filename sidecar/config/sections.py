"""What each key of `sidecar.yaml` takes, section by section."""

from __future__ import annotations

from typing import Any, Final

from sidecar.config import text_shapes
from sidecar.config.address import parse_listen, parse_target
from sidecar.config.model import (
    AccessLevel,
    AdditionalIdentity,
    Config,
    Drain,
    Identity,
    Inbound,
    Limits,
    Listener,
    Log,
    LogLevel,
    MissingCertificate,
    Mode,
    NameKind,
    Outbound,
    OutboundDefault,
    PortSettings,
    ProxyProtocol,
    Route,
    RouteMode,
    Tls,
)
from sidecar.config.readers import (
    Reader,
    as_set,
    choice,
    listed,
    mapping,
    parsed,
    read_flag,
    read_name,
    read_path,
    read_text,
    seconds,
    whole,
    whole_key,
)
from sidecar.config.section_rules import check_identity, check_outbound, check_route
from sidecar.config.section_values import (
    listen_at,
    parse_admin,
    parse_goal,
    parse_group,
    parse_workload_api,
    read_version,
    read_workers,
)
from sidecar.config.shape import shaped
from sidecar.config.structure import reader_of
from sidecar.identity.spiffe_id import parse_trust_domain
from sidecar.policy.pattern import parse_pattern

PORT: Final = whole(1, 65535)
_PORT_KEY: Final = shaped(whole_key(1, 65535), text_shapes.PORT)
PORTS: Final = as_set(listed(PORT, "ports", "leave the key out for every port"))
PEER: Final = parsed(
    parse_pattern,
    "a peer, as in 'spiffe://example.org/ns/shop/sa/api'",
    text_shapes.PEER,
)

_DAY: Final = 86_400
_WAIT: Final = 600
"""Seconds: whoever waits longer for one connection has mistaken the unit."""

_READ_LISTEN: Final = parsed(parse_listen, "'host:port'", text_shapes.LISTEN)
_LISTENER: Final = reader_of(
    Listener,
    {
        "listen": _READ_LISTEN,
        "transparent": read_flag,
        "destination": parsed(
            parse_goal, "'original' or 'host:port'", text_shapes.GOAL
        ),
    },
)
_PORT_SETTINGS: Final = reader_of(
    PortSettings,
    {
        "mode": choice(Mode),
        "missing_certificate": choice(MissingCertificate),
        "proxy_protocol": choice(ProxyProtocol),
        "identity": read_name,
    },
)
_ROUTE: Final = reader_of(
    Route,
    {
        "name": read_name,
        "to": listed(
            parsed(
                parse_target,
                "an address, a network or a host name",
                text_shapes.TARGET,
            ),
            "addresses, networks and host names",
            "a route to nowhere is never taken",
        ),
        "ports": PORTS,
        "mode": choice(RouteMode),
        "peers": listed(PEER, "peers"),
        "identity": read_name,
    },
    check_route,
)

_ADDITIONAL: Final = reader_of(
    AdditionalIdentity,
    {"certificate_chain": read_path, "private_key": read_path, "hint": read_text},
)

SECTIONS: Final[dict[str, Reader[Any]]] = {
    "identity": reader_of(
        Identity,
        {
            "certificate_chain": read_path,
            "private_key": read_path,
            "trust_bundles": mapping(
                parsed(parse_trust_domain, "a trust domain", text_shapes.TRUST_DOMAIN),
                read_path,
                "trust domains to files",
            ),
            "workload_api": parsed(
                parse_workload_api, "the address of a socket", text_shapes.WORKLOAD_API
            ),
            "hint": read_text,
            "accept": as_set(
                listed(
                    choice(NameKind),
                    "kinds of names",
                    "name 'spiffe', 'dns' or 'subject'",
                )
            ),
            "name_bundle": read_path,
            "crl": read_path,
            "additional": mapping(read_name, _ADDITIONAL, "names to identities"),
            "allow_readable_key": read_flag,
        },
        check_identity,
    ),
    "inbound": reader_of(
        Inbound,
        {
            "listeners": listed(_LISTENER, "listeners"),
            "mode": choice(Mode),
            "ports": mapping(_PORT_KEY, _PORT_SETTINGS, "ports to their settings"),
        },
    ),
    "outbound": reader_of(
        Outbound,
        {
            "listeners": listed(_LISTENER, "listeners"),
            "default": choice(OutboundDefault),
            "routes": listed(_ROUTE, "routes"),
        },
        check_outbound,
    ),
    "policy": read_path,
    "admin": listen_at(
        parsed(parse_admin, "'host:port' or 'unix:/path'", text_shapes.ADMIN)
    ),
    "telemetry": listen_at(_READ_LISTEN),
    "tls": reader_of(
        Tls,
        {
            "minimum_version": read_version,
            "groups": listed(
                parsed(parse_group, "the name of a TLS group", text_shapes.GROUP),
                "TLS groups",
                "leave the key out for the default",
            ),
            "clock_skew_seconds": seconds(_DAY),
        },
    ),
    "limits": reader_of(
        Limits,
        {
            "connections": whole(1, 1_000_000),
            "handshakes": whole(1, 1_000_000),
            "connect_seconds": seconds(_WAIT, zero=False),
            "handshake_seconds": seconds(_WAIT, zero=False),
            "detect_seconds": seconds(_WAIT, zero=False),
            "idle_seconds": seconds(7 * _DAY),
            "lifetime_seconds": seconds(365 * _DAY),
        },
    ),
    "drain": reader_of(
        Drain,
        {
            "delay_seconds": seconds(_DAY),
            "deadline_seconds": seconds(_DAY),
            "revoked_seconds": seconds(_DAY),
        },
    ),
    "workers": read_workers,
    "log": reader_of(Log, {"level": choice(LogLevel), "access": choice(AccessLevel)}),
}

read_whole_config: Final = reader_of(Config, SECTIONS)
