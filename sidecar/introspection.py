"""What the admin listener shows of a running process."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from attrs import asdict

from sidecar.config.model import Endpoint, Listener, UnixSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attrs import Attribute

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
        "upstream": connection.upstream,
        "peer": connection.peer,
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
    return asdict(config, value_serializer=_plain, recurse=True)


def _plain(_owner: object, _attribute: Attribute[Any] | None, value: Any) -> Any:
    if isinstance(value, Endpoint | UnixSocket | Path | Enum):
        return str(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Listener):
        return {"listen": str(value.listen), "destination": str(value.destination)}
    if isinstance(value, int | float | dict | list | tuple) or value is None:
        return value
    return value if hasattr(value, "__attrs_attrs__") else str(value)
