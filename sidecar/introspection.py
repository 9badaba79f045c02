"""What the admin listener shows of a running process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import trio
from attrs import fields, has

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.model import Config
    from sidecar.proxy.connection import Connection
    from sidecar.proxy.mesh import Mesh


def live_connections(mesh: Mesh) -> Iterator[dict[str, Any]]:
    """Describe every open connection."""
    now = trio.current_time()
    for each in mesh.connections:
        yield _describe(each, now)


def _describe(connection: Connection, now: float) -> dict[str, Any]:
    flow = connection.flow
    facts = {
        "direction": connection.direction,
        "source": str(connection.source),
        "destination": connection.destination,
        "upstream": None if connection.upstream is None else str(connection.upstream),
        "peer": connection.peer,
        "identity": connection.identity,
        "rule": connection.rule,
        "generation": connection.generation or None,
        "received": None if flow is None else flow.received,
        "sent": None if flow is None else flow.sent,
        "seconds": round(now - connection.began, 3),
    }
    return {
        key: value if isinstance(value, int | float) else str(value)
        for key, value in facts.items()
        if value is not None
    }


def config_value(config: Config) -> dict[str, Any]:
    """Give the configuration in force as JSON can carry it.

    It names the files of keys; what is in them is nowhere in it.
    """
    return _section(config)


def _section(section: Any) -> dict[str, Any]:
    names = [attribute.name for attribute in fields(type(section))]
    return {name: _plain(getattr(section, name)) for name in names}


def _plain(value: object) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(_plain(each) for each in value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    # A section is written key by key; an endpoint or a pattern is one text.
    if has(type(value)) and type(value).__str__ is object.__str__:
        return _section(value)
    return str(value)
