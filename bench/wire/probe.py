"""Is the work the same for all? Each pair is looked at before it is measured."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from bench.application import SMALL
from bench.load import wrk
from bench.pair import Pair, attempt
from bench.unmeasured import Unmeasured
from bench.wire.watcher import Watcher

if TYPE_CHECKING:
    from collections import Counter

    from bench.proxies.proxy import Proxy, Setting
    from bench.stage import Stage
    from bench.wire.server_hello import ServerHello

_SECONDS: Final = 1
_LISTEN_SECONDS: Final = 20.0
_ATTEMPTS: Final = 3


@frozen
class Seen:
    """What the handshakes of a pair were, mostly."""

    version: str
    group: str
    cipher: str
    handshakes: int
    resumed: float
    """The share of handshakes that resumed a session."""


def look(proxy: Proxy, stage: Stage, setting: Setting, connections: int) -> Seen:
    """Run a pair with an observer between its sides, and say what it saw.

    Args:
        proxy: Which.
        stage: Where.
        setting: What is asked of the pair.
        connections: How many are being set up at any time.

    Raises:
        Unmeasured: The pair does not serve.
    """
    site = stage.site(f"{proxy.name}-seen", setting)
    load = wrk.Load(SMALL, connections, reconnect=True)
    with (
        Watcher(site.crossing) as watcher,
        Pair(proxy, evolve(site, dialled=watcher.port)) as pair,
    ):
        wrk.run(load, pair.port, _SECONDS)
        return summary(watcher.seen.copy())


def summary(seen: Counter[ServerHello]) -> Seen:
    """Sum up what was seen."""
    handshakes = seen.total()
    if not handshakes:
        raise Unmeasured("no TLS 1.3 handshake was seen between the two sides")
    usual = seen.most_common(1)[0][0]
    resumed = sum(count for hello, count in seen.items() if hello.resumed)
    return Seen(
        usual.version, usual.group, usual.cipher, handshakes, resumed / handshakes
    )


def takes_strangers(proxy: Proxy, stage: Stage) -> list[str]:
    """Name the sides of *proxy* that let in a peer of an unknown authority.

    The stranger has the right names, and is signed by somebody else.

    Raises:
        Unmeasured: The proxy does not start.
    """
    own, others = stage.certificates, stage.strangers
    impostors = {
        "server": evolve(own, client=others.client),
        "client": evolve(own, server=others.server),
    }
    return [
        side
        for side, certificates in impostors.items()
        if _is_served(proxy, evolve(stage, certificates=certificates))
    ]


def _is_served(proxy: Proxy, stage: Stage) -> bool:
    pair = Pair(proxy, stage.site(f"{proxy.name}-stranger"))
    try:
        pair.start()
        _wait_for_port(pair, pair.site.crossing)
        _wait_for_port(pair, pair.site.entry)
        return any(attempt(pair.port) is None for _ in range(_ATTEMPTS))
    finally:
        pair.stop()


def _wait_for_port(pair: Pair, port: int) -> None:
    end = time.monotonic() + _LISTEN_SECONDS
    while time.monotonic() < end:
        pair.check_running()
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise Unmeasured(f"does not listen within {_LISTEN_SECONDS:g} s")
