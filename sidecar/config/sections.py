"""What each key of `sidecar.yaml` takes, section by section."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal

from attrs import frozen

from sidecar.config.address import parse_destination, parse_listen, parse_target
from sidecar.config.model import (
    ORIGINAL,
    AccessLevel,
    Config,
    Drain,
    Endpoint,
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
    Route,
    RouteMode,
    Tls,
    UnixSocket,
)
from sidecar.config.place import Invalid
from sidecar.config.readers import (
    Reader,
    as_set,
    choice,
    listed,
    mapping,
    parsed,
    read_name,
    read_path,
    seconds,
    whole,
)
from sidecar.config.section_rules import check_identity, check_outbound, check_route
from sidecar.config.structure import reader_of
from sidecar.config.wording import shown, suggestion
from sidecar.identity.spiffe_id import parse_trust_domain
from sidecar.policy.pattern import parse_pattern

PORT: Final = whole(1, 65535)
PORTS: Final = as_set(listed(PORT, "ports", "leave the key out for every port"))
PEER: Final = parsed(
    parse_pattern, "a peer, as in 'spiffe://example.org/ns/shop/sa/api'"
)

_DAY: Final = 86_400
_WAIT: Final = 600
"""Seconds: whoever waits longer for one connection has mistaken the unit."""
_UNIX_PATH: Final = 107  # sun_path holds 108 bytes with the null, unix(7)
_WORKLOAD_API: Final = re.compile(r"unix:(?://)?(/[^\0?#]+)")  # Workload Endpoint, 4
_GROUP: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _parse_destination(text: str) -> Endpoint | Literal["original"]:
    if text == ORIGINAL:
        return ORIGINAL
    if guess := suggestion(text, [ORIGINAL]):
        raise ValueError(
            f"expected 'original' or 'host:port', got {shown(text)}{guess}"
        )
    return parse_destination(text)


def _parse_unix(text: str) -> UnixSocket:
    path = text.removeprefix("unix:")
    if not path.startswith("/"):
        raise ValueError(f"expected 'unix:' and an absolute path, got {shown(text)}")
    if len(path.encode(errors="surrogatepass")) > _UNIX_PATH:
        raise ValueError(
            f"the path of a socket has at most {_UNIX_PATH} bytes, got {shown(text)}"
        )
    return UnixSocket(Path(path))


def _parse_admin(text: str) -> Endpoint | UnixSocket:
    return _parse_unix(text) if text.startswith("unix:") else parse_listen(text)


def _parse_workload_api(text: str) -> str:
    if not _WORKLOAD_API.fullmatch(text):
        raise ValueError(
            f"expected a socket, as in 'unix:///run/spire/agent.sock', got {shown(text)}"
        )
    return text


def _parse_group(text: str) -> str:
    if not _GROUP.fullmatch(text):
        raise ValueError(f"expected the name of a TLS group, got {shown(text)}")
    return text


def _read_version(value: object, _type: object = None) -> str:
    # Without quotes YAML makes it a number; there is no doubt what was meant.
    if isinstance(value, (str, float)) and str(value) in {"1.2", "1.3"}:
        return str(value)
    raise Invalid.here(f"expected '1.2' or '1.3', got {shown(value)}")


def _read_workers(value: object, _type: object = None) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    try:
        return whole(1, 256)(value, None)
    except Invalid as error:
        what = f"{error.findings[0].what} (or 'auto', one for each CPU)"
        raise Invalid.here(what) from None


@frozen
class _Bind:
    """The one key of `admin` and of `telemetry`."""

    listen: Any


def _listen_at(read_listen: Reader[Any]) -> Reader[Any]:
    read_bind = reader_of(_Bind, {"listen": read_listen})

    def read(value: object, _type: object = None) -> Any:
        if isinstance(value, str):
            hint = f"write {{listen: {shown(value)}}}"
            raise Invalid.here(f"expected a mapping, got {shown(value)} ({hint})")
        return read_bind(value, None).listen

    return read


_LISTENER: Final = reader_of(
    Listener,
    {
        "listen": parsed(parse_listen, "'host:port'"),
        "destination": parsed(_parse_destination, "'original' or 'host:port'"),
    },
)
_PORT_SETTINGS: Final = reader_of(
    PortSettings,
    {"mode": choice(Mode), "missing_certificate": choice(MissingCertificate)},
)
_ROUTE: Final = reader_of(
    Route,
    {
        "name": read_name,
        "to": listed(
            parsed(parse_target, "an address, a network or a host name"),
            "addresses, networks and host names",
            "a route to nowhere is never taken",
        ),
        "ports": PORTS,
        "mode": choice(RouteMode),
        "peers": listed(PEER, "peers"),
    },
    check_route,
)

SECTIONS: Final[dict[str, Reader[Any]]] = {
    "identity": reader_of(
        Identity,
        {
            "certificate_chain": read_path,
            "private_key": read_path,
            "trust_bundles": mapping(
                parsed(parse_trust_domain, "a trust domain"),
                read_path,
                "trust domains to files",
            ),
            "workload_api": parsed(_parse_workload_api, "the address of a socket"),
            "accept": as_set(
                listed(
                    choice(NameKind),
                    "kinds of names",
                    "name 'spiffe', 'dns' or 'subject'",
                )
            ),
            "name_bundle": read_path,
            "crl": read_path,
        },
        check_identity,
    ),
    "inbound": reader_of(
        Inbound,
        {
            "listeners": listed(_LISTENER, "listeners"),
            "mode": choice(Mode),
            "ports": mapping(PORT, _PORT_SETTINGS, "ports to their settings"),
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
    "admin": _listen_at(parsed(_parse_admin, "'host:port' or 'unix:/path'")),
    "telemetry": _listen_at(parsed(parse_listen, "'host:port'")),
    "tls": reader_of(
        Tls,
        {
            "minimum_version": _read_version,
            "groups": listed(
                parsed(_parse_group, "the name of a TLS group"),
                "TLS groups",
                "leave the key out for the default",
            ),
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
        },
    ),
    "drain": reader_of(
        Drain,
        {"delay_seconds": seconds(_DAY), "deadline_seconds": seconds(_DAY)},
    ),
    "workers": _read_workers,
    "log": reader_of(Log, {"level": choice(LogLevel), "access": choice(AccessLevel)}),
}

read_whole_config: Final = reader_of(Config, SECTIONS)
