"""One immutable generation of what TLS needs: SVID, bundles and contexts.

Rotation builds the next generation and publishes it with one assignment. A
connection keeps the generation that it began with.
"""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from attrs import evolve
from OpenSSL import SSL

from sidecar.config.material import Trust
from sidecar.config.moments import stamp
from sidecar.tls.context import (
    ALPN,
    CertificateError,
    client_context,
    server_context,
)
from sidecar.tls.sessions import Sessions
from sidecar.tls.verify import PeerCheck, Verifier, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sidecar.config.material import Material
    from sidecar.config.model import Tls
    from sidecar.identity.peer import Peer
    from sidecar.identity.svid import Svid
    from sidecar.policy.peer_index import PeerSet
    from sidecar.tls.refusal import Refusal
    from sidecar.tls.verify import Proof

_LONGEST_NAME: Final = 255  # OpenSSL takes no more (TLSEXT_MAXLEN_host_name)


class Credentials:
    """Makes connections that present one SVID and judge peers by one trust.

    *before* are those of the generation before; *verifier* is whose trust is shared.

    Raises:
        ValueError: OpenSSL does not know a group of *tls*; the error names it.
        CertificateError: OpenSSL does not take our certificate.
    """

    def __init__(
        self,
        material: Material,
        tls: Tls,
        generation: int = 1,
        clock: Callable[[], datetime] = utc_now,
        verifier: Verifier | None = None,
        before: Credentials | None = None,
    ) -> None:
        self.material = material
        self.generation = generation
        self._tls = tls
        self.verifier: Verifier = verifier or Verifier(
            material,
            clock,
            timedelta(seconds=tls.clock_skew_seconds),
            None if before is None else before.verifier,
        )
        # Made now, so that what is wrong with them is known at start.
        self._server = server_context(material.svid, tls, certificate_required=True)
        self._client = client_context(material.svid, tls)
        self.sessions = Sessions(time.monotonic)
        self._clock = clock
        self.granted = material.granted
        self.withdrawn: str | None = None
        """Why what this presents may not be presented any more; see `withdraw`."""
        if not self.is_ours(material.svid.name):
            self.withdrawn = f"{material.svid.name} was taken from us"
        # Contexts and sessions of their own, so that no ticket leads from one of our
        # identities to another; what is known of peers is known for all of them.
        self._others = {
            name: self._other(name, svid) for name, svid in material.additional.items()
        }

    def _other(self, name: str, svid: Svid) -> Credentials:
        material = evolve(self.material, svid=svid, additional={})
        try:
            return Credentials(
                material, self._tls, self.generation, self._clock, self.verifier
            )
        except CertificateError as error:
            error.identity = name
            raise

    def of(self, identity: str | None) -> Credentials:
        """Give those that present another of our identities; None for the first.

        A name that there is not (any more) gives what is unusable, and says so.
        """
        if identity is None:
            return self
        found = self._others.get(identity)
        if found is None:
            found = NoCredentials(self.generation, self._clock)
            found.withdrawn = self.withdrawn or f"we have no identity {identity!r}"
        return found

    def svids(self) -> Mapping[str | None, Svid]:
        """List what is presented, by the name of the identity; None is the first."""
        found: dict[str | None, Svid] = {None: self.material.svid}
        found.update(self.material.additional)
        return found

    def withdraw(self, why: str) -> None:
        """Present nothing of all this any more."""
        self.withdrawn = why
        for each in self._others.values():
            each.withdraw(why)

    def disown(self) -> None:
        """Take nothing for ours any more of what was presented before, either."""
        self.granted = frozenset()

    def is_ours(self, name: Peer) -> bool:
        """Tell whether we still are whom *name* says, and not only were it once."""
        return self.granted is None or name in self.granted

    @property
    def svid(self) -> Svid | None:
        """What this presents; None where nothing was issued yet."""
        return self.material.svid

    def unusable(self) -> str | None:
        """Say why no handshake can be done with this; None if one can.

        What has expired every peer would refuse, and what was withdrawn is not ours.
        """
        end = self.material.svid.not_valid_after
        if self.withdrawn is None and self._clock() > end:
            return f"our own certificate expired {stamp(end)}"
        return self.withdrawn

    def still(self, proof: Proof) -> Proof | Refusal:
        """Judge again who was accepted by *proof*, maybe in another generation."""
        return self.verifier.still(proof)

    def take_due(self) -> bool:
        """Tell whether a chain that was accepted may have ended: see `Verifier`."""
        return self.verifier.take_due()

    @cached_property
    def _lenient_server(self) -> SSL.Context:
        return server_context(self.material.svid, self._tls, certificate_required=False)

    def accept(
        self, *, certificate_required: bool = True
    ) -> tuple[SSL.Connection, PeerCheck]:
        """Make the server's end of a connection, and the check of its client."""
        context = self._server if certificate_required else self._lenient_server
        check = PeerCheck(self.verifier, required=certificate_required)
        connection = SSL.Connection(context, None)
        connection.set_app_data(check)
        connection.set_accept_state()
        return connection, check

    def connect(
        self, expected: PeerSet, server_name: str | None, *, alpn: bool = True
    ) -> tuple[SSL.Connection, PeerCheck]:
        """Make the client's end, and the check that the server is *expected*.

        *server_name* is sent as SNI (RFC 6066, 3) for servers that choose their
        certificate by it. Nothing here trusts it.
        """
        check = PeerCheck(self.verifier, expected)
        connection = SSL.Connection(self._client, None)
        connection.set_app_data(check)
        connection.set_connect_state()
        if alpn:
            connection.set_alpn_protos([ALPN])
        name = _sni(server_name)
        if name is not None:
            connection.set_tlsext_host_name(name)
        return connection, check


class NoCredentials(Credentials):
    """Stands where none were issued yet: it presents nothing and trusts nobody."""

    def __init__(
        self, generation: int, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.generation = generation
        self.withdrawn = "no certificate has been issued to us yet"
        self.granted = frozenset()
        self.sessions = Sessions(time.monotonic)
        self._clock = clock
        self._others = {}
        self.verifier = Verifier(Trust(), clock)

    def svids(self) -> Mapping[str | None, Svid]:
        """Nothing was issued yet."""
        return {}

    @property
    def svid(self) -> None:
        """Nothing was issued yet."""

    def unusable(self) -> str | None:
        """Say that there is nothing yet."""
        return self.withdrawn


def _sni(name: str | None) -> bytes | None:
    """Give *name* as SNI carries it; None if it cannot, which is no reason to fail."""
    text = (name or "").rstrip(".")  # RFC 6066, 3
    fits = text.isascii() and text.isprintable() and 0 < len(text) <= _LONGEST_NAME
    return text.encode("ascii") if fits else None
