"""The policy's rules as the documentation tells them, in plain loops over all of them.

Nothing of `sidecar.policy` decides here: patterns are read as text.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.model import Action, Policy, Rule

if TYPE_CHECKING:
    from sidecar.identity.peer import Peer

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def decide(
    policy: Policy, peer: Peer | None, port: int, source: Address
) -> tuple[str, str | None, tuple[str, str] | None]:
    """Return the verdict, the rule's name, and the dry run's verdict and rule."""
    real = _decide(policy, peer, port, source, dry_runs=False)
    other = _decide(policy, peer, port, source, dry_runs=True)
    verdict, rule = other
    if rule is None or other == real:
        return *real, None
    return *real, (verdict, rule)


def _decide(
    policy: Policy, peer: Peer | None, port: int, source: Address, *, dry_runs: bool
) -> tuple[str, str | None]:
    for action in (Action.DENY, Action.ALLOW):
        for rule in policy.rules:
            counts = dry_runs or not rule.dry_run
            if counts and rule.action is action and applies(rule, peer, port, source):
                return action.value, rule.name
    return policy.default.value, None


def applies(rule: Rule, peer: Peer | None, port: int, source: Address) -> bool:
    return (
        any(matches(str(pattern), peer) for pattern in rule.peers)
        and (rule.ports is None or port in rule.ports)
        and (rule.sources is None or any(inside(source, n) for n in rule.sources))
    )


def matches(pattern: str, peer: Peer | None) -> bool:
    """Tell whether the text of a pattern stands for *peer*."""
    kind, _, name = pattern.partition(":")
    if kind == "unauthenticated":
        return peer is None
    if kind == "spiffe":
        one = re.escape(pattern).replace(r"\*\*", ".+").replace(r"\*", "[^/]+")
        return isinstance(peer, SpiffeId) and bool(re.fullmatch(one, str(peer)))
    if not isinstance(peer, CertificateNames):
        return False
    if kind == "dns":
        label = re.escape(name).replace(r"\*", "[^.]+")
        return any(re.fullmatch(label, dns) for dns in peer.dns)
    has = {f"{key}={value}" for key, value in peer.subject}
    return all(attribute in has for attribute in name.split(","))


def inside(source: Address, network: Network) -> bool:
    """Tell whether *network* contains *source*, IPv4 through IPv6 being IPv4."""
    if isinstance(source, IPv6Address) and source.ipv4_mapped:
        source = source.ipv4_mapped
    if isinstance(network, IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped and network.prefixlen >= 96:
            network = IPv4Network((int(mapped), network.prefixlen - 96))
    return source in network
