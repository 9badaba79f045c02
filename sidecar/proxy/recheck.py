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

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.identity.peer import Peer
    from sidecar.proxy.connection import Connection
    from sidecar.proxy.mesh import Mesh
    from sidecar.proxy.standing import Lapse
    from sidecar.tls.refusal import Refusal

    Chain = tuple[bytes, ...]

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
            self._end_those_that_had_their_time()

    async def _judge_all(self) -> None:
        """Judge every connection by what is in force at the beginning."""
        rules = rules_of(self._mesh)
        ended = leaving = 0
        until = time.monotonic() + _SLICE_SECONDS
        for connection in self._mesh.connections:
            live = live_of(connection)
            if live is None:
                continue
            lapse = lapse_of(live, rules)
            if lapse is None:
                self._leaving.pop(connection, None)
            elif self._may_stay_a_while(connection):
                leaving += 1
            else:
                self._end(connection, lapse)
                ended += 1
                until -= _ENDING_SECONDS
            if time.monotonic() >= until:
                await trio.lowlevel.checkpoint()
                until = time.monotonic() + _SLICE_SECONDS
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

    def _end_those_that_had_their_time(self) -> None:
        if not self._leaving:
            return
        now = trio.current_time()
        rules = rules_of(self._mesh)
        for connection, deadline in list(self._leaving.items()):
            live = live_of(connection)
            if live is not None and now < deadline:
                continue
            del self._leaving[connection]
            lapse = None if live is None else lapse_of(live, rules)
            if lapse is not None:
                self._end(connection, lapse)

    def _end(self, connection: Connection, lapse: Lapse) -> None:
        connection.generations = self._mesh.generations
        connection.end(Ending(lapse.outcome, lapse.detail, lapse.reason))


def admit_again(mesh: Mesh, connection: Connection) -> None:
    """Judge *connection* before it is relayed, if there was a change since it came.

    Raises:
        Refused: It would not be let in now. Its upstream has been reset.
    """
    if connection.generations is mesh.generations:
        return
    connection.generations = mesh.generations
    live = live_of(connection)
    lapse = None if live is None else lapse_of(live, rules_of(mesh))
    if lapse is not None:
        if connection.flow is not None:
            reset(connection.flow.upstream.sock)
        raise Refused(lapse.outcome, lapse.detail, lapse.reason)


def live_of(connection: Connection) -> Live | None:
    """Say what *connection* was admitted by; None before it is, and after its end."""
    flow, session = connection.flow, connection.session
    if flow is None or flow.ending is not None or connection.destination is None:
        return None
    return Live(
        connection.direction,
        connection.destination,
        connection.source,
        connection.rule,
        None if session is None else session.check.chain,
        connection.identity,
    )


def rules_of(mesh: Mesh) -> Rules:
    """Give what decides now. A chain is judged once for all who showed it."""
    return Rules(
        mesh.config.inbound,
        mesh.policy,
        mesh.routes,
        mesh.own,
        mesh.hosts.addresses,
        _remembering(mesh.credentials.judge),
        mesh.credentials.is_ours,
    )


def _remembering(
    judge: Callable[[Chain], Peer | Refusal],
) -> Callable[[Chain], Peer | Refusal]:
    judged: dict[Chain, Peer | Refusal] = {}

    def remembered(chain: Chain) -> Peer | Refusal:
        if chain not in judged:
            judged[chain] = judge(chain)
        return judged[chain]

    return remembered
