"""Texts into typed values.

Each reader raises ValueError, with a sentence for each thing that is wrong.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final, TypeVar

from sidecar.redirect.model import Backend, InboundMode, Network, Ports

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_MOST: Final = 1000
_LONGEST_WAIT: Final = 300
_LAST_ID: Final = 2**32 - 2  # 2**32 - 1 is "no user", chown(2)
_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_PORTS: Final = re.compile(r"([0-9]{1,10})(?:[-:]([0-9]{1,10}))?")
# dev_valid_name() of Linux lets through more; what the rest is good for is trouble.
# A last `+` would be a pattern to iptables.
_INTERFACE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,14}")

_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291, section 2.5.5.2


def backend(text: str) -> Backend | None:
    """Read a backend; ``auto`` is None."""
    if text == "auto":
        return None
    try:
        return Backend(text)
    except ValueError:
        raise ValueError(
            f"one of 'auto', 'nft', 'legacy', 'plain', got {_shown(text)}"
        ) from None


def inbound_mode(text: str) -> InboundMode:
    """Read how connections come in."""
    try:
        return InboundMode(text)
    except ValueError:
        raise ValueError(f"one of 'redirect', 'tproxy', got {_shown(text)}") from None


def seconds(text: str) -> int:
    """Read a wait, in whole seconds."""
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= _LONGEST_WAIT:
        raise ValueError(f"a number from 1 to {_LONGEST_WAIT}, got {_shown(text)}")
    return number


def port(text: str) -> int:
    """Read a TCP port."""
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= 65535:
        raise ValueError(f"a port is a number from 1 to 65535, got {_shown(text)}")
    return number


def _ports(text: str) -> Ports:
    match = _PORTS.fullmatch(text)
    first, last = match.groups() if match else (text, None)
    ports = Ports(port(first), port(first if last is None else last))
    if ports.first > ports.last:
        raise ValueError(f"a range begins with its lower port, got {_shown(text)}")
    return ports


def _network(text: str) -> Network:
    try:
        # A zone would be a text of anybody's choice within the network.
        meant = ipaddress.ip_network("" if "%" in text else text, strict=False)
    except ValueError:
        raise ValueError(
            f"a network is an address and a length, as 10.0.0.0/8, got {_shown(text)}"
        ) from None
    if ipaddress.ip_interface(text).ip != meant.network_address:
        raise ValueError(
            f"a network has no host bits: {meant} is one, got {_shown(text)}"
        )
    if isinstance(meant, ipaddress.IPv6Network) and meant.subnet_of(_MAPPED):
        address = int(meant.network_address) & 0xFFFFFFFF
        inner = ipaddress.IPv4Network((address, meant.prefixlen - 96))
        raise ValueError(
            f"what is sent to an IPv4-mapped address travels as IPv4: write {inner},"
            f" got {_shown(text)}"
        )
    return meant


def _interface(text: str) -> str:
    if not _INTERFACE.fullmatch(text):
        raise ValueError(
            "an interface has a name of 1 to 15 letters, digits or . _ @ -,"
            f" got {_shown(text)}"
        )
    if text == "lo":
        raise ValueError("lo is never redirected, and cannot be excluded")
    return text


def identifier(text: str) -> int:
    """Read the number of a user or group that is not root's."""
    number = int(text) if _NUMBER.fullmatch(text) else -1
    if not 1 <= number <= _LAST_ID:
        raise ValueError(
            f"an id is a number from 1 to {_LAST_ID}, and not root's: what has it"
            f" passes the sidecar by, got {_shown(text)}"
        )
    return number


def _list(text: str, parse: Callable[[str], T]) -> tuple[T, ...]:
    """Read a list with commas.

    Raises:
        ValueError: Items are wrong; it has a sentence for each of them.
    """
    words = [word.strip() for word in text.split(",")]
    if len(words) > _MOST:
        raise ValueError(f"a list has at most {_MOST} items, got {len(words)}")
    found: dict[T, None] = {}
    wrong: list[str] = []
    for word in filter(None, words):
        try:
            found[parse(word)] = None
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError(*wrong)
    return tuple(found)


def port_list(text: str) -> tuple[Ports, ...]:
    """Read ports; sorted, and without those that others of them cover."""
    found = sorted(_list(text, _ports), key=lambda each: (each.first, -each.last))
    kept: list[Ports] = []
    for each in found:
        if not kept or not kept[-1].covers(each):
            kept.append(each)
    return tuple(kept)


def network_list(text: str) -> tuple[Network, ...]:
    """Read networks of either family."""
    return _list(text, _network)


def interface_list(text: str) -> tuple[str, ...]:
    """Read names of network interfaces."""
    return _list(text, _interface)


def all_or_ports(text: str) -> tuple[Ports, ...] | None:
    """Read at least one port; ``*`` is None."""
    return None if text == "*" else _named(port_list(text), text)


def all_or_networks(text: str) -> tuple[Network, ...] | None:
    """Read at least one network; ``*`` is None."""
    return None if text == "*" else _named(network_list(text), text)


def _named(found: tuple[T, ...], text: str) -> tuple[T, ...]:
    if not found:
        raise ValueError(f"nothing is named: write '*' for all, got {_shown(text)}")
    return found


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
