"""Looking host names up, for as long as there is time."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST: Final = 50
"""Names at once; what comes after is not looked up."""


def look_up(names: Iterable[str], seconds: float) -> dict[str, tuple[str, ...]]:
    """Ask for the addresses of *names*; those without an answer in time are left out.

    The resolver cannot be interrupted: a question that is still open is left to a
    thread that nobody waits for.
    """
    ends = time.monotonic() + seconds
    found: dict[str, tuple[str, ...]] = {}
    threads = [
        threading.Thread(target=_ask, args=(name, found), daemon=True)
        for name in list(dict.fromkeys(names))[:_MOST]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    return dict(found)


def _ask(name: str, found: dict[str, tuple[str, ...]]) -> None:
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    hosts = (str(sockaddr[0]) for *_, sockaddr in answers)
    # Without its zone, which belongs to no network.
    found[name] = tuple(dict.fromkeys(host.partition("%")[0] for host in hosts))
