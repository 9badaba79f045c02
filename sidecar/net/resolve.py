"""Host names of the configuration, resolved beforehand and kept fresh.

A connection never waits for a name server: it takes the addresses that are known.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LOG = logging.getLogger(__name__)

# Kubernetes' DNS answers live 5 to 30 seconds; getaddrinfo does not tell.
_FRESH_SECONDS: Final = 15.0
_RETRY_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 5.0


@lru_cache(maxsize=4096)  # every connection asks, of the same few hosts
def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _resolve(name: str) -> tuple[str, ...]:
    found = await trio.socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class HostTable:
    """The addresses of every host name that the configuration mentions."""

    def __init__(self, hosts: Iterable[str], changed: Callable[[], None]) -> None:
        """Know *hosts*; call *changed* whenever an answer differs from the last."""
        self._known: dict[str, tuple[str, ...]] = {}
        self._failing: dict[str, str] = {}
        """Why those fail that do, as it was said."""
        self._changed = changed
        self._news = trio.Event()
        self.know(hosts)

    def know(self, hosts: Iterable[str]) -> None:
        """Keep *hosts* and no others fresh from now on; what is known of them stays."""
        names = dict.fromkeys(each.lower() for each in hosts if not _is_literal(each))
        if not names.keys() <= self._known.keys():
            self._news.set()
        self._known = {name: self._known.get(name, ()) for name in names}
        self._failing = {
            name: why for name, why in self._failing.items() if name in names
        }

    def addresses(self, host: str) -> tuple[str, ...]:
        """Give the addresses of *host*: itself if it is one, () while unknown."""
        known = self._known.get(host.lower())
        if known is None:
            return (host,) if _is_literal(host) else ()
        return known

    def unresolved(self) -> list[str]:
        """Name the hosts that have no address yet."""
        return [name for name, known in self._known.items() if not known]

    async def refresh(self) -> None:
        """Ask for every name once; a name that fails keeps its last good answer."""
        async with trio.open_nursery() as nursery:
            for name in self._known:
                nursery.start_soon(self._refresh_one, name)

    async def keep_fresh(self) -> None:
        """Refresh for ever; a name that is new, or without an answer, waits less."""
        while True:
            self._news = trio.Event()
            await self.refresh()
            pause = _RETRY_SECONDS if self.unresolved() else _FRESH_SECONDS
            with trio.move_on_after(pause):
                await self._news.wait()

    async def _refresh_one(self, name: str) -> None:
        try:
            with trio.fail_after(_ANSWER_SECONDS):
                found = await _resolve(name)
        except trio.TooSlowError:
            self._failed(name, f"no answer in {_ANSWER_SECONDS:g} seconds")
            return
        except (OSError, UnicodeError) as error:
            self._failed(name, str(error))
            return
        if self._failing.pop(name, None) is not None:
            _LOG.info("a host name resolves again", extra={"host": name})
        # It may have gone from the configuration since it was asked for.
        if set(found) != set(self._known.get(name, found)):
            self._known[name] = found
            self._changed()

    def _failed(self, name: str, why: str) -> None:
        """Say so, once: a name may fail every two seconds for days."""
        if name in self._known and self._failing.get(name) != why:
            self._failing[name] = why
            extra = {"host": name, "error": why}
            _LOG.warning("a host name did not resolve", extra=extra)
