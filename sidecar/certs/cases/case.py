"""What a case is, and the short ways to write one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import frozen

from sidecar.certs.authority import new_key
from sidecar.certs.blueprint import Blueprint, alternative_names
from sidecar.certs.cases.world import Presented, World
from sidecar.telemetry.labels import Reason

if TYPE_CHECKING:
    from sidecar.identity.svid import PrivateKey

Build: TypeAlias = Callable[[World], Presented]
Change: TypeAlias = Callable[[Blueprint], Blueprint]

_OURS: Final = "{}"


@frozen
class Case:
    """One clause, and a peer that keeps it or breaks it, and nothing else.

    Attributes:
        name: In kebab case, unique, stable.
        clause: ``X509-SVID 4.3``, ``SPIFFE-ID 2.1``, ``RFC 5280 4.2.1.9``.
        sentence: What the peer shows.
        reason: Why it must be refused, or `Reason.OK` if it must be accepted.
        build: Make its chain and key.
        with_crl: Whether the endpoint under test has `World.crl` for this case. Such
            a list says nothing of the leaves of intermediates.
    """

    name: str
    clause: str
    sentence: str
    reason: Reason
    build: Build
    with_crl: bool = False

    @property
    def accepted(self) -> bool:
        """Whether an endpoint has to let it in."""
        return self.reason is Reason.OK


def case(
    name: str, clause: str, sentence: str, reason: Reason, *, with_crl: bool = False
) -> Callable[[Build], Case]:
    """Make a case of the function that builds it."""
    return lambda build: Case(name, clause, sentence, reason, build, with_crl)


def leaf_case(
    name: str,
    clause: str,
    sentence: str,
    change: Change,
    reason: Reason = Reason.NOT_AN_SVID,
    *,
    make_key: Callable[[], PrivateKey] = new_key,
) -> Case:
    """Make a case of a good leaf, directly below the root, with a change."""

    def build(world: World) -> Presented:
        key = make_key()
        return Presented(world.authority.sign(change(world.plan(key))), key)

    return Case(name, clause, sentence, reason, build)


def uri_case(
    name: str,
    clause: str,
    sentence: str,
    *uris: str,
    reason: Reason = Reason.NOT_AN_SVID,
) -> Case:
    """Make a case of these URI SANs; ``{}`` in them is the trust domain."""

    def build(world: World) -> Presented:
        key = new_key()
        names = [uri.replace(_OURS, world.trust_domain) for uri in uris]
        plan = world.plan(key).extended(alternative_names(names), critical=True)
        return Presented(world.authority.sign(plan), key)

    return Case(name, clause, sentence, reason, build)


def signer_case(
    name: str,
    clause: str,
    sentence: str,
    change: Change,
    reason: Reason = Reason.UNTRUSTED_CHAIN,
) -> Case:
    """Make a case of a good leaf below an intermediate with a change."""

    def build(world: World) -> Presented:
        signer, key = new_key(), new_key()
        intermediate = world.authority.below(change(world.signer_plan(signer)), signer)
        return Presented(intermediate.sign(world.plan(key)), key)

    return Case(name, clause, sentence, reason, build)
