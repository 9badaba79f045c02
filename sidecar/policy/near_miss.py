"""Which allow rule came nearest to a refused connection, in a sentence for the log.

A flood of refused connections must not cost more for a longer policy. So nothing here
looks at all rules: one look-up, `path_trie.SAMPLES` patterns beside it, and of those
that are found the first rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sidecar.identity.names import CertificateNames
from sidecar.policy.near_words import address_text, difference, listed, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.identity.peer import Peer
    from sidecar.policy.compile import CompiledPolicy
    from sidecar.policy.model import Rule
    from sidecar.policy.path_trie import Near
    from sidecar.policy.scope import Scope, Source

MAX_LENGTH: Final = 300
"""No sentence is longer: names in it are cut, see `near_words.quoted`."""


def near_miss(
    policy: CompiledPolicy, peer: Peer | None, port: int, source: Source
) -> str:
    """Say what comes nearest to allowing a connection that no rule allows."""
    if policy.dry_run_allow is not None:
        number = policy.dry_run_allow.first(peer, port, source)
        if number is not None:
            return f"{_name(policy.rules[number])} allows this but is a dry run"
    if policy.allow is None:
        return "no rule allows anything"
    peers = policy.allow.peers
    if scopes := peers.matching(peer):
        return _other_scope(policy.rules, scopes, port, source)
    if peer is None:
        return "no rule allows an unauthenticated peer"
    if isinstance(peer, CertificateNames):
        return f"no rule allows {quoted(str(peer))}"
    near = peers.nearest(peer, lambda scope: scope.at(port))
    if near is None:
        return f"no allow rule names trust domain {quoted(peer.trust_domain)}"
    return _other_path(policy.rules, near, port)


def _other_scope(
    rules: Sequence[Rule], scopes: Sequence[Scope], port: int, source: Source
) -> str:
    at_port = [sources.first for scope in scopes for sources in scope.at(port)]
    if at_port:
        rule = rules[min(at_port)]
        networks = listed("network", rule.sources or ())
        return (
            f"{_name(rule)} allows this peer and port from {networks}, "
            f"not from {address_text(source)}"
        )
    rule = rules[min(scope.first for scope in scopes)]
    ports = listed("port", rule.ports or ())
    return f"{_name(rule)} allows this peer on {ports}, not {port}"


def _other_path(rules: Sequence[Rule], near: Near[Scope], port: int) -> str:
    at_port = [scope for scope in near.values if scope.at(port)]
    rule = rules[min(scope.first for scope in at_port or near.values)]
    how = difference(near, only=bool(at_port))
    return f"{_name(rule)} {how}{'' if at_port else ', and in the port'}"


def _name(rule: Rule) -> str:
    return f"rule {quoted(rule.name)}"
