"""How a caller gets to the policy: as whom, or why it never does.

The port's mode is asked through the plan that every connection gets; what is said of a
peer's names is what the verifier of the handshake says.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from attrs import frozen

from sidecar.config.model import ORIGINAL, Endpoint, Mode, NameKind
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.proxy.plan import (
    Detect,
    OwnEndpoints,
    PassThrough,
    Reject,
    Terminate,
    plan_inbound,
)
from sidecar.telemetry.labels import Reason
from sidecar.tls.accepted import accepted_names, not_accepted, unknown_trust_domain

if TYPE_CHECKING:
    from sidecar.config.model import Config, Identity, Inbound, Listener
    from sidecar.identity.peer import Peer

Address: TypeAlias = IPv4Address | IPv6Address

# Loops are a matter of addresses, and nobody names any here.
_NOWHERE: Final = OwnEndpoints((), lambda _host: False)


@frozen
class Refused:
    """Why a caller is turned away before the policy is asked.

    Attributes:
        reason: As it is counted.
        detail: The same in words.
        unless_tls: The reason where the caller does not even speak TLS.
    """

    reason: Reason
    detail: str
    unless_tls: Reason | None = None

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Every reason that it may be counted under."""
        return tuple(each for each in (self.reason, self.unless_tls) if each)


@frozen
class Call:
    """A connection to the application.

    Attributes:
        peer: Who it is by its certificate; None if it shows none, or none that tells.
        port: The destination port.
        source: Where it comes from; None where that is not said.
        verified: Whether the verifier has seen the certificate, and found no fault.
        refused: Why the verifier does not take it.
        notes: What deserves a word about it.
    """

    peer: Peer | None
    port: int
    source: Address | None = None
    verified: bool = False
    refused: Refused | None = None
    notes: tuple[str, ...] = ()


@frozen
class Entry:
    """What a port makes of a caller.

    Attributes:
        mode: Of the port; None where there is only a policy, which knows of none.
        peer: Whom the policy judges; None is unauthenticated.
        refused: Why it is not asked; None if it is.
        plaintext_too: Whether the same caller may come without TLS as well, and is
            then judged as unauthenticated.
        notes: What deserves a word.
    """

    mode: Mode | None
    peer: Peer | None
    refused: Refused | None = None
    plaintext_too: bool = False
    notes: tuple[str, ...] = ()


def enter(config: Config | None, call: Call) -> Entry:
    """Say what becomes of a caller up to the policy.

    Args:
        config: What stands around the policy, where it is known.
        call: Who calls, and where.
    """
    peer, port, notes = call.peer, call.port, call.notes
    if config is None:
        return Entry(None, peer, call.refused, notes=notes)
    mode = config.inbound.mode_of(port)
    notes = (*notes, *_astray(config.inbound, port))
    match plan := plan_inbound(config.inbound, Endpoint("", port), (), _NOWHERE):
        case Reject():
            raise AssertionError("nothing here is one of our own listeners")
        case PassThrough():
            if peer is not None:
                what = f"port {port} has no TLS: whoever calls is unauthenticated"
                notes = (*notes, what)
            return Entry(mode, None, notes=notes)
        case Terminate():
            shown = _shown(config.identity, call) or _nobody(port)
            return Entry(mode, *shown, notes=notes)
        case Detect():
            found = _shown(config.identity, call)
            if found is None:
                return Entry(mode, None, notes=notes)
            return Entry(mode, *found, plaintext_too=True, notes=notes)
        case _:
            assert_never(plan)


def _nobody(port: int) -> tuple[None, Refused]:
    what = f"port {port} is strict, and takes nobody without a certificate"
    return None, Refused(Reason.NO_CERTIFICATE, what, Reason.PLAINTEXT)


def _shown(identity: Identity, call: Call) -> tuple[Peer | None, Refused | None] | None:
    """Say whose certificate is shown, or why it is refused; None if there is none."""
    if call.refused is not None or call.verified:
        return call.peer, call.refused
    if call.peer is None:
        return None
    named = named_by(identity, call.peer)
    return (call.peer, named) if isinstance(named, Refused) else (named, None)


def named_by(identity: Identity, peer: Peer) -> Peer | Refused:
    """Say whom the verifier would take *peer* for, as far as names can tell."""
    if isinstance(peer, SpiffeId):
        if NameKind.SPIFFE not in identity.accept:
            detail = not_accepted("a SPIFFE ID", identity.accept)
            return Refused(Reason.NOT_AN_SVID, detail)
        # What a Workload API will bring is not known.
        if identity.from_files and peer.trust_domain not in identity.trust_bundles:
            return Refused(Reason.UNKNOWN_TRUST_DOMAIN, unknown_trust_domain(peer))
        return peer
    named = accepted_names(peer, identity.accept)
    if named is None:
        detail = not_accepted(f"the name {peer}", identity.accept)
        return Refused(Reason.NOT_AN_SVID, detail)
    return named


def _astray(inbound: Inbound, port: int) -> list[str]:
    """Find a port that no connection is meant for: most likely that of a listener."""
    goals = [each.destination for each in inbound.listeners]
    reached = sorted({goal.port for goal in goals if isinstance(goal, Endpoint)})
    if not inbound.listeners:
        return ["inbound has no listeners: no connection comes in"]
    if port in reached:
        return []
    for each in inbound.listeners:
        if each.listen.port == port:
            return [_where_it_listens(each)]
    if ORIGINAL in goals:
        return []
    return [f"no listener leads to port {port}, only to {', '.join(map(str, reached))}"]


def _where_it_listens(listener: Listener) -> str:
    goal, port = listener.destination, listener.listen.port
    what = f"{port} is where a listener listens: the port that counts is that of"
    if isinstance(goal, Endpoint):
        return f"{what} its destination, {goal} (ask for port {goal.port})"
    return f"{what} the application that the caller means"
