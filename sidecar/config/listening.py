"""Where this process listens: no address twice, and none that it dials itself."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from sidecar.config.model import Endpoint
from sidecar.config.place import Finding, Index, Place, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sidecar.config.model import Config, Listener

_ANY_4: Final = "0.0.0.0"  # noqa: S104 - compared, not bound
_ANY: Final = "::"
"""Both families: the listeners of this process are not IPv6 only."""
_LOCAL_NAMES: Final = frozenset({"localhost", "ip6-localhost"})


def check_listeners(config: Config) -> Iterator[Finding]:
    """No two listeners have one address."""
    taken: dict[int, list[tuple[Place, str]]] = defaultdict(list)
    for place, endpoint in _endpoints(config):
        if endpoint.port == 0:
            continue  # the kernel chooses one that is free
        others = taken[endpoint.port]
        for other, host in others:
            if covers(host, endpoint.host) or covers(endpoint.host, host):
                there = Endpoint(host, endpoint.port)
                yield Finding(place, _clash(endpoint, there, other))
                break
        else:
            # One that clashes is not kept: a third would be told of both.
            others.append((place, endpoint.host))


def _clash(endpoint: Endpoint, there: Endpoint, other: Place) -> str:
    if endpoint == there:
        return f"{endpoint} is taken by {written(other)}"
    return f"{endpoint} overlaps with {there}, taken by {written(other)}"


def check_loops(config: Config) -> Iterator[Finding]:
    """No fixed destination is where this process itself listens."""
    ports: dict[int, list[tuple[Place, str]]] = defaultdict(list)
    for place, endpoint in _endpoints(config):
        ports[endpoint.port].append((place, endpoint.host))
    for place, listener in _relays(config):
        goes = listener.destination
        if not isinstance(goes, Endpoint):
            continue
        for other, host in ports.get(goes.port, ()):
            if _reaches(goes.host, host):
                what = f"{goes} is where {written(other)} is: it would come back here"
                yield Finding((*place, "destination"), what)
                break


def covers(listening: str, host: str) -> bool:
    """Say whether a socket on the address *listening* gets what is sent to *host*."""
    if listening in {host, _ANY}:
        return True
    return listening == _ANY_4 and ":" not in host


def is_local(host: str) -> bool:
    """Say whether only this machine (in a pod: its containers) reaches an address."""
    return ip_address(host).is_loopback


def _reaches(host: str, listening: str) -> bool:
    # An address of another machine may be ours too, but nothing here says so.
    if host in _LOCAL_NAMES:
        return listening in {_ANY, _ANY_4} or is_local(listening)
    if listening == host:
        return True
    try:
        loopback = is_local(host)
    except ValueError:
        return False
    return loopback and covers(listening, host)


def _endpoints(config: Config) -> Iterator[tuple[Place, Endpoint]]:
    for place, listener in _relays(config):
        yield (*place, "listen"), listener.listen
    if isinstance(config.admin, Endpoint):
        yield ("admin", "listen"), config.admin
    yield ("telemetry", "listen"), config.telemetry


def _relays(config: Config) -> Iterator[tuple[Place, Listener]]:
    yield from _in("inbound", config.inbound.listeners)
    yield from _in("outbound", config.outbound.listeners)


def _in(
    section: str, listeners: Iterable[Listener]
) -> Iterator[tuple[Place, Listener]]:
    for at, listener in enumerate(listeners):
        yield (section, "listeners", Index(at)), listener
