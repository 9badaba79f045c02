"""Whether a connection that is open would still be let in. No I/O, and no clock.

Nothing is decided here in another way than at the door: the same plans, the same
`evaluate` and the same verifier are asked again, by what is in force now. Who proved
more than is asked for now (mutual TLS on a port that has none any more) may stay.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.policy.evaluate import evaluate
from sidecar.proxy.plan import (
    Originate,
    Reject,
    Terminate,
    plan_inbound,
    plan_outbound,
)
from sidecar.telemetry.labels import Direction, Outcome, Reason
from sidecar.tls.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.config.model import Endpoint, Inbound
    from sidecar.identity.peer import Peer
    from sidecar.policy.compile import CompiledPolicy
    from sidecar.proxy.plan import OwnEndpoints
    from sidecar.proxy.routes import RouteTable

_OUTCOMES: Final = {
    Reason.EXPIRED: Outcome.PEER_EXPIRED,
    Reason.REVOKED: Outcome.PEER_REVOKED,
    Reason.UNKNOWN_TRUST_DOMAIN: Outcome.BUNDLE_WITHDRAWN,
}


@frozen
class Live:
    """What a connection was admitted by, and what its peer's certificates are now.

    Attributes:
        destination: Where it was going.
        source: Who opened it.
        rule: The policy's rule or the route that admitted it.
        peer: Whose its certificates are by what is trusted now, or why they are
            refused; None without TLS.
        identity: Who we are to the peer; None without TLS.
    """

    direction: Direction
    destination: Endpoint
    source: Endpoint
    rule: str | None
    peer: Peer | Refusal | None
    identity: Peer | None


@frozen
class Rules:
    """What decides about connections now.

    Attributes:
        addresses: Gives those of a host.
        is_ours: Tells whether a name that we had is still ours.
    """

    inbound: Inbound
    policy: CompiledPolicy
    routes: RouteTable
    own: OwnEndpoints
    addresses: Callable[[str], tuple[str, ...]]
    is_ours: Callable[[Peer], bool]


@frozen
class Lapse:
    """Why a connection may not go on."""

    outcome: Outcome
    detail: str
    reason: Reason = Reason.OK
    """Other than ok where it is about certificates, the peer's or ours."""


def lapse_of(live: Live, rules: Rules) -> Lapse | None:
    """Say why *live* would not be let in now; None if it would."""
    if live.identity is not None and not rules.is_ours(live.identity):
        detail = f"{live.identity}, which we were to the peer, was taken from us"
        return Lapse(Outcome.IDENTITY_WITHDRAWN, detail, Reason.NO_IDENTITY)
    peer = live.peer
    if isinstance(peer, Refusal):
        outcome = _OUTCOMES.get(peer.reason, Outcome.PEER_UNTRUSTED)
        return Lapse(outcome, peer.detail, peer.reason)
    if live.direction is Direction.INBOUND:
        return _inbound(live, peer, rules)
    return _outbound(live, peer, rules)


def _inbound(live: Live, peer: Peer | None, rules: Rules) -> Lapse | None:
    destination = live.destination
    plan = plan_inbound(
        rules.inbound, destination, rules.addresses(destination.host), rules.own
    )
    if isinstance(plan, Reject):
        return _revoked(plan.detail)
    if isinstance(plan, Terminate) and peer is None:
        return _revoked(f"port {destination.port} takes no plaintext any more")
    source = ipaddress.ip_address(live.source.host)
    decision = evaluate(rules.policy, peer, destination.port, source)
    if decision.allowed:
        return None
    if decision.rule is not None:
        return _revoked(f"denied by the rule {decision.rule!r} now")
    return _revoked(decision.near_miss or "no rule allows it")


def _outbound(live: Live, peer: Peer | None, rules: Rules) -> Lapse | None:
    destination = live.destination
    addresses = rules.addresses(destination.host)
    plan = plan_outbound(
        rules.routes, destination, addresses, rules.own, formerly=live.rule
    )
    if isinstance(plan, Reject):
        return _revoked(plan.detail)
    if not isinstance(plan, Originate):
        return None
    if peer is None:
        return _revoked(f"the route {plan.rule!r} asks for mutual TLS now")
    if not plan.peers.matches(peer):
        detail = f"{peer} is not one of the peers of the route {plan.rule!r} any more"
        return _revoked(detail, Reason.UNEXPECTED_PEER)
    return None


def _revoked(detail: str, reason: Reason = Reason.OK) -> Lapse:
    return Lapse(Outcome.POLICY_REVOKED, detail, reason)
