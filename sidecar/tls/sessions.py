"""Sessions that servers gave us, to be resumed at the next connection (RFC 8446, 2.2).

A resumed handshake spares both sides the certificates and their signatures. It skips
no check: what the session says of the server is judged again, as of now. Sessions
belong to one generation of credentials, and are found by the server that was dialled
and the route that led there: none is offered elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.telemetry.labels import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from OpenSSL import SSL

    from sidecar.tls.errors import HandshakeError
    from sidecar.tls.verify import PeerCheck

Key = tuple[str, int, str]
"""The host and port that are dialled, and the name of the route."""

_KEPT: Final = 1024
# A session serves many connections; a new one is taken well before the servers that
# we know let it end (ours after five minutes).
_FRESH_SECONDS: Final = 60.0

# A server that is restarted in mid-handshake looks like one that cannot resume; and
# another may have its address by then.
_HOPELESS_SECONDS: Final = 600.0

_DOUBTFUL: Final = frozenset({Reason.PROTOCOL_ERROR, Reason.PEER_REFUSED, Reason.RESET})


@frozen
class _Kept:
    session: SSL.Session
    chain: tuple[bytes, ...]
    """What its server showed when it began."""
    since: float


class Sessions:
    """The sessions of one generation; *clock* tells their age, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._kept: dict[Key, _Kept] = {}
        self._hopeless: dict[Key, float] = {}
        self._clock = clock

    def slot(self, key: Key) -> SessionSlot:
        """Give the place for the sessions of one server."""
        return SessionSlot(self, key)

    def find(self, key: Key) -> _Kept | None:
        """Give what is kept under *key*."""
        return self._kept.get(key)

    def is_fresh(self, key: Key) -> bool:
        """Tell whether what is kept under *key* is there and still young."""
        kept = self._kept.get(key)
        return kept is not None and self._clock() - kept.since < _FRESH_SECONDS

    def keep(self, key: Key, session: SSL.Session, chain: tuple[bytes, ...]) -> None:
        """Keep *session* under *key* in place of any other; the oldest makes room."""
        since = self._hopeless.get(key)
        if since is not None:
            if self._clock() - since < _HOPELESS_SECONDS:
                return
            del self._hopeless[key]
        self._kept.pop(key, None)
        if len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = _Kept(session, chain, self._clock())

    def forget(self, key: Key) -> None:
        """Drop what is kept under *key*."""
        self._kept.pop(key, None)

    def give_up(self, key: Key) -> bool:
        """Keep nothing under *key* for a while, if something was; True if so."""
        if self._kept.pop(key, None) is None:
            return False
        if len(self._hopeless) >= _KEPT:
            self._hopeless.clear()
        self._hopeless[key] = self._clock()
        return True


@frozen
class SessionSlot:
    """The sessions of one server, for one connection to it."""

    _sessions: Sessions
    _key: Key

    def offer(self, connection: SSL.Connection, check: PeerCheck) -> None:
        """Have *connection* ask the server to resume, if a session is kept."""
        kept = self._sessions.find(self._key)
        if kept is not None:
            connection.set_session(kept.session)
            check.chain = kept.chain

    def taker(
        self, connection: SSL.Connection, check: PeerCheck, *, resumed: bool
    ) -> Callable[[], None] | None:
        """Give what is to be called when *connection* has read something.

        In TLS 1.3 a session comes after the handshake, with the first ticket. None
        if the one that is kept will do: it was just resumed, and is young.
        """
        if resumed and self._sessions.is_fresh(self._key):
            return None

        def take() -> None:
            session = connection.get_session()
            if session is not None:
                self._sessions.keep(self._key, session, check.chain)

        return take

    def forget(self) -> None:
        """Drop the session: it did not lead to a good connection."""
        self._sessions.forget(self._key)

    def is_to_blame(self, error: HandshakeError) -> bool:
        """Tell whether *error* may be the session's doing; if so, offer none for long.

        There are servers that fail when they are asked to resume, where they ought to
        begin anew (RFC 8446, 4.2.11): one that wants certificates and was not told
        what to call its sessions is the common case.
        """
        return error.reason in _DOUBTFUL and self._sessions.give_up(self._key)
