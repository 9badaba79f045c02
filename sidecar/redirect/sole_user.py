"""Whether the sidecar is alone with its user, while it runs.

What its user sends is let by, so an application with the same user has no mTLS and no
policy. Its processes are in another container and not to be seen from here, unless the
pod shares its PID namespace; but its listening sockets are, with their user. Looking at
them takes a fraction of a millisecond, whatever is going on. An application that only
calls, and listens at nothing, is not found this way.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

import trio

from sidecar.redirect.doctor.strangers import is_redirected, own_ports, strangers
from sidecar.redirect.socket_lists import read_listeners

if TYPE_CHECKING:
    from sidecar.config.model import Config, Endpoint

_LOG = logging.getLogger(__name__)

LOOK_SECONDS: Final = 60.0


async def watch(config: Config) -> None:
    """Log who listens with our user at an address that is none of ours.

    Once for each, when it was there at two looks: `sidecar redirect check`, run in our
    container, listens for a moment. Returns at once where no rules lead to us.
    """
    if not is_redirected(config) or _is_root_with_tproxy(config):
        return
    ports = own_ports(config)
    before: frozenset[Endpoint] = frozenset()
    told: frozenset[Endpoint] = frozenset()
    while True:
        await trio.sleep(LOOK_SECONDS)
        found = strangers(read_listeners(), os.geteuid(), ports)
        now = frozenset(each.local for each in found)
        for each in sorted(map(str, (now & before) - told)):
            _LOG.warning(
                "somebody else has our user, and what it sends is not captured: give"
                " the application another one, securityContext.runAsUser",
                extra={"uid": os.geteuid(), "listens": each},
            )
        told = (told | (now & before)) & now
        before = now


def _is_root_with_tproxy(config: Config) -> bool:
    """Tell whether the rules know us by our group, which no list of sockets shows.

    Root is the user of many applications, and nothing lets by what they send.
    """
    transparent = any(each.transparent for each in config.inbound.listeners)
    return transparent and os.geteuid() == 0
