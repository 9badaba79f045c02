"""Who listens with the sidecar's user, and is not the sidecar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.model import ORIGINAL, Endpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sidecar.config.model import Config
    from sidecar.redirect.doctor.sockets import Socket


def strangers(
    listeners: Iterable[Socket], uid: int, ports: Collection[int]
) -> tuple[Socket, ...]:
    """Find those of the user *uid* that listen at none of *ports*.

    Where 0 is among the ports the kernel chose one, and nobody can be told apart.
    """
    if 0 in ports:
        return ()
    return tuple(
        each for each in listeners if each.uid == uid and each.local.port not in ports
    )


def own_ports(config: Config) -> frozenset[int]:
    """Give every port that the sidecar listens at."""
    listeners = (*config.inbound.listeners, *config.outbound.listeners)
    others = (config.admin, config.telemetry)
    return frozenset(
        [each.listen.port for each in listeners]
        + [each.port for each in others if isinstance(each, Endpoint)]
    )


def is_redirected(config: Config) -> bool:
    """Tell whether rules lead connections here, but for those of our own user."""
    listeners = (*config.inbound.listeners, *config.outbound.listeners)
    return any(each.destination == ORIGINAL for each in listeners)
