"""Connections that are open, judged again whenever what admitted them has changed.

A change of the policy, a route, a bundle, a revocation list or of who we are is
published as new `Generations`; a certificate's time runs out by itself. Either way all
connections are gone through once, and those that would not be let in now are ended: at
once, or after `drain.revoked_seconds` if they would not be let in then either. A
connection costs nothing for it while nothing changes: no timer, no task, no copy.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import trio

from sidecar.net.sockopt import reset
from sidecar.proxy.outcome import Refused
from sidecar.proxy.standing import Live, Rules, lapse_of
from sidecar.relay.flow import Ending
from sidecar.tls.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.identity.peer import Peer
    from sidecar.proxy.connection import Connection
    from sidecar.proxy.mesh import Mesh
    from sidecar.proxy.standing import Lapse
    from sidecar.tls.verify import Proof

    Still = Callable[[Proof], Proof | Refusal]

_LOG = logging.getLogger(__name__)

# A certificate is good to the end of its last second, and those who showed it are
# ended within two of when it began.
_LOOK_SECONDS: Final = 0.5
# Others have their turns this often, however many connections there are.
_SLICE_SECONDS: Final = 0.002
# What ending one takes in its own task, once it has its turn.
_ENDING_SECONDS: Final = 0.0002


class Recheck:
    """Ends the connections that would not be let in any more. One task runs it.

    Attributes:
        seen: All connections have been judged by what was in force then.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._leaving: dict[Connection, float] = {}
        self.seen = mesh.generations

    async def run(self) -> None:
        """Judge whenever there is reason to, until cancelled."""
        mesh = self._mesh
        while True:
            if self.seen is mesh.generations:
                with trio.move_on_after(_LOOK_SECONDS):
                    await mesh.news.park()
            generations = mesh.generations
            if mesh.credentials.take_due() or self.seen is not generations:
                await self._judge_all()
                self.seen = generations
            await self._end_those_that_had_their_time()

    async def _judge_all(self) -> None:
        """Judge every connection by what is in force at the beginning."""
        rules = rules_of(self._mesh)
        still = _once_each(self._mesh.credentials.still)
        ended = leaving = 0
        slices = _Slices()
        for connection in self._mesh.connections:
            live = live_of(connection, still)
            if live is None:
                continue
            lapse = lapse_of(live, rules)
            if lapse is None:
                self._leaving.pop(connection, None)
            elif self._may_stay_a_while(connection):
                leaving += 1
            else:
                self._end(connection, lapse, slices)
                ended += 1
            await slices.give_way()
        if ended or leaving:
            _LOG.info(
                "connections are not admitted any more",
                extra={"ended": ended, "leaving": leaving},
            )

    def _may_stay_a_while(self, connection: Connection) -> bool:
        seconds = self._mesh.config.drain.revoked_seconds
        if not seconds:
            return False
        now = trio.current_time()
        return self._leaving.setdefault(connection, now + seconds) > now

    async def _end_those_that_had_their_time(self) -> None:
        if not self._leaving:
            return
        now = trio.current_time()
        rules, slices = rules_of(self._mesh), _Slices()
        still = _once_each(self._mesh.credentials.still)
        for connection, deadline in list(self._leaving.items()):
            if now < deadline and is_relayed(connection):
                continue
            live = live_of(connection, still)
            del self._leaving[connection]
            lapse = None if live is None else lapse_of(live, rules)
            if lapse is not None:
                self._end(connection, lapse, slices)
            await slices.give_way()

    def _end(self, connection: Connection, lapse: Lapse, slices: _Slices) -> None:
        slices.cost(_ENDING_SECONDS)
        connection.generations = self._mesh.generations
        connection.end(Ending(lapse.outcome, lapse.detail, lapse.reason))


class _Slices:
    """Cuts what takes long, so that others have their turns."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _SLICE_SECONDS

    def cost(self, seconds: float) -> None:
        """Count what others will have to do for us."""
        self._until -= seconds

    async def give_way(self) -> None:
        """Let others have their turns if it is time."""
        if time.monotonic() >= self._until:
            await trio.lowlevel.checkpoint()
            self._until = time.monotonic() + _SLICE_SECONDS


def admit_again(mesh: Mesh, connection: Connection) -> None:
    """Judge *connection* before it is relayed, if there was a change since it came.

    Raises:
        Refused: It would not be let in now. Its upstream has been reset.
    """
    if connection.generations is mesh.generations:
        return
    connection.generations = mesh.generations
    live = live_of(connection, mesh.credentials.still)
    lapse = None if live is None else lapse_of(live, rules_of(mesh))
    if lapse is not None:
        if connection.flow is not None:
            reset(connection.flow.upstream.sock)
        raise Refused(lapse.outcome, lapse.detail, lapse.reason)


def is_relayed(connection: Connection) -> bool:
    """Tell whether *connection* has been admitted, and has not ended yet."""
    return connection.flow is not None and connection.flow.ending is None


def live_of(connection: Connection, still: Still) -> Live | None:
    """Say what *connection* was admitted by; None before it is, and after its end.

    *still* judges what its peer was accepted by.
    """
    if not is_relayed(connection) or connection.destination is None:
        return None
    return Live(
        connection.direction,
        connection.destination,
        connection.source,
        connection.rule,
        _peer_now(connection, still),
        connection.identity,
    )


def _peer_now(connection: Connection, still: Still) -> Peer | Refusal | None:
    check = None if connection.session is None else connection.session.check
    if check is None or check.proof is None:
        return None
    found = still(check.proof)
    if isinstance(found, Refusal):
        return found
    check.proof = found  # by which it is known the next time
    return found.peer


def rules_of(mesh: Mesh) -> Rules:
    """Give what decides now."""
    return Rules(
        mesh.config.inbound,
        mesh.policy,
        mesh.routes,
        mesh.own,
        mesh.hosts.addresses,
        mesh.credentials.is_ours,
    )


def _once_each(still: Still) -> Still:
    """Judge once for all who were accepted by the same."""
    judged: dict[Proof, Proof | Refusal] = {}

    def remembered(proof: Proof) -> Proof | Refusal:
        found = judged.get(proof)
        if found is None:
            found = judged[proof] = still(proof)
        return found

    return remembered
