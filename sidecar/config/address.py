"""Endpoints, networks and host names as an operator writes them.

A rule that is stricter than the socket API is there because of a trap: an address with
host bits set, an IPv4 address in IPv6 clothes that would match nothing, a number
with a leading zero that means different addresses to different programs.
"""

from __future__ import annotations

import re
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, TypeAlias

from sidecar.config.model import Endpoint
from sidecar.config.wording import shown

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_LONGEST_NAME: Final = 253  # RFC 1035, 2.3.4
_NAME: Final = re.compile(
    # RFC 1123, 2.1; and the underscore that names inside clusters do have.
    r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_NUMERIC: Final = re.compile(r"(.*\.)?[0-9]+(/.*)?", re.DOTALL)
_PORT: Final = re.compile(r"0|[1-9][0-9]{0,4}")
_PREFIX: Final = re.compile(r"0|[1-9][0-9]{0,2}")
_HIGHEST_PORT: Final = 65535
_UNIX: Final = "unix:"


class AddressError(ValueError):
    """The text is not such an address; the message says the rule, and the text."""


def parse_listen(text: str) -> Endpoint:
    """Parse where to listen: an IP address and a port, which may be 0.

    Raises:
        AddressError: The text is something else. No other exception escapes.
    """
    host, port = _split(text, "every address of this machine is '[::]'")
    address = parse_address(host)
    if address is None:
        raise AddressError(
            f"expected an IP address to listen on, as in '0.0.0.0:{port}' or "
            f"'[::]:{port}', got the name {shown(host)}"
        )
    return Endpoint(str(address), port)


def parse_destination(text: str) -> Endpoint:
    """Parse where to dial: an IP address or a host name, and a port.

    Raises:
        AddressError: The text is something else. No other exception escapes.
    """
    host, port = _split(text, "this machine is '127.0.0.1'")
    if port == 0:
        raise AddressError(f"port must be 1 to {_HIGHEST_PORT} to be dialled, got 0")
    address = parse_address(host)
    if address is None:
        return Endpoint(parse_host_name(host), port)
    if address.is_unspecified:
        raise AddressError(
            f"expected an address to dial, got {str(address)!r} (that is for "
            "listening; this machine is '127.0.0.1')"
        )
    return Endpoint(str(address), port)


def _split(text: str, hint: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if colon and not host and port:
        raise AddressError(f"expected 'host:port', got {shown(text)} ({hint})")
    if text.startswith(_UNIX):
        raise AddressError(
            f"expected 'host:port', got {shown(text)} (of all addresses only that of "
            "admin may be a Unix socket)"
        )
    if not host or not port or text.endswith("]"):
        raise AddressError(f"expected 'host:port', got {shown(text)}")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if bracketed != (":" in host):
        raise AddressError(
            "an IPv6 address, and nothing else, stands in brackets, as in "
            f"'[::1]:8080', got {shown(text)}"
        )
    if not _PORT.fullmatch(port) or int(port) > _HIGHEST_PORT:
        raise AddressError(
            f"port must be a number up to {_HIGHEST_PORT}, got {shown(port)}"
        )
    return host, int(port)


def parse_address(text: str) -> Address | None:
    """Parse an IP address; None where the text looks like a host name.

    Raises:
        AddressError: The text is meant as an address and is none. No other exception
            escapes.
    """
    try:
        address = ip_address(text)
    except ValueError:
        if ":" in text or _NUMERIC.fullmatch(text):
            raise AddressError(f"expected an IP address, got {shown(text)}") from None
        return None
    if isinstance(address, IPv6Address):
        _refuse_traps(address, text)
    return address


def _refuse_traps(address: IPv6Address, text: str) -> None:
    if address.scope_id is not None:
        raise AddressError(
            f"an address with a zone is not supported, got {shown(text)}"
        )
    if address.ipv4_mapped is not None:
        # The kernel's peers of this kind are shown as IPv4 everywhere.
        raise AddressError(f"write it as '{address.ipv4_mapped}', got {shown(text)}")


def parse_host_name(text: str) -> str:
    """Parse a host name; gives it back in lower case.

    Raises:
        AddressError: The text is no host name. No other exception escapes.
    """
    # Folded only if it is ASCII: the Kelvin sign would become a plain k.
    name = text.lower() if text.isascii() else text
    if "*" in name:
        raise AddressError(
            f"a host name has no wildcard, name every host or its network, "
            f"got {shown(text)}"
        )
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise AddressError(f"expected an address or a host name, got {shown(text)}")
    return name


def parse_network(text: str) -> Network:
    """Parse a network in CIDR form; an address stands for the network of itself.

    Raises:
        AddressError: The text is something else, or has host bits set. No other
            exception escapes.
    """
    host, slash, prefix = text.partition("/")
    address = parse_address(host)
    if address is None:
        raise AddressError(
            f"expected an address or a network, as in '10.0.0.0/8', got {shown(text)}"
        )
    if not slash:
        return ip_network(address)
    if not _PREFIX.fullmatch(prefix) or int(prefix) > address.max_prefixlen:
        raise AddressError(
            f"prefix length must be a number up to {address.max_prefixlen}, "
            f"got {shown(text)}"
        )
    network = ip_network((address, int(prefix)), strict=False)
    if network.network_address != address:
        raise AddressError(
            f"has bits set after the prefix, got {shown(text)} (the network is "
            f"'{network}', the one address is '{address}')"
        )
    return network


def parse_target(text: str) -> Network | str:
    """Parse what a route goes to: a network, an address or a host name.

    Raises:
        AddressError: The text is none of them. No other exception escapes.
    """
    if text.count(":") == 1 or "://" in text:
        raise AddressError(
            "expected an address, a network or a host name, without a port, "
            f"got {shown(text)}"
        )
    host = text.partition("/")[0]
    if "/" in text or parse_address(host) is not None:
        return parse_network(text)
    return parse_host_name(text)
