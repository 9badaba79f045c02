"""Which allow rule came nearest to a refused connection, in a sentence for the log.

A flood of refused connections must not cost more for a longer policy. So nothing here
looks at all rules: one look-up, `path_trie.SAMPLES` patterns beside it, and of those
that are found the first rule.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from sidecar.identity.names import CertificateNames

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sidecar.identity.peer import Peer
    from sidecar.policy.compile import CompiledPolicy
    from sidecar.policy.model import Network, Rule
    from sidecar.policy.path_trie import Near
    from sidecar.policy.scope import Scope, Source

MAX_LENGTH: Final = 300
"""No sentence is longer: names in it are cut, see `_QUOTED`."""

_QUOTED: Final = 60
_LISTED: Final = 3  # more ports or networks than these are counted instead


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
        return f"no rule allows {_quoted(str(peer))}"
    near = peers.nearest(peer, lambda scope: scope.at(port))
    if near is None:
        return f"no allow rule names trust domain {_quoted(peer.trust_domain)}"
    return _other_path(policy.rules, near, port)


def _other_scope(
    rules: Sequence[Rule], scopes: Sequence[Scope], port: int, source: Source
) -> str:
    at_port = [sources.first for scope in scopes for sources in scope.at(port)]
    if at_port:
        rule = rules[min(at_port)]
        networks = _listed("network", rule.sources or ())
        return (
            f"{_name(rule)} allows this peer and port from {networks}, "
            f"not from {_address(source)}"
        )
    rule = rules[min(scope.first for scope in scopes)]
    ports = _listed("port", rule.ports or ())
    return f"{_name(rule)} allows this peer on {ports}, not {port}"


def _other_path(rules: Sequence[Rule], near: Near[Scope], port: int) -> str:
    at_port = [scope for scope in near.values if scope.at(port)]
    rule = rules[min(scope.first for scope in at_port or near.values)]
    segment = near.depth + 1
    if near.only:
        how = f"differs {'only ' if at_port else ''}in segment {segment}"
    elif near.depth:
        how = f"differs from segment {segment} on"
    else:
        how = "names another path of this trust domain"
    port_too = "" if at_port else ", and in the port"
    return (
        f"{_name(rule)} {how}: {_path(near.expected)}, not {_path(near.found)}"
        f"{port_too}"
    )


def _listed(noun: str, values: Collection[int] | Collection[Network]) -> str:
    if 0 < len(values) <= _LISTED:
        return f"{noun} {' or '.join(sorted(map(str, values)))}"
    return f"{len(values)} {noun}s"


def _path(segments: Sequence[str]) -> str:
    return _quoted("/".join(segments)) if segments else "the end"


def _address(source: Source) -> str:
    version, number = source
    return str(IPv4Address(number) if version == 4 else IPv6Address(number))


def _name(rule: Rule) -> str:
    return f"rule {_quoted(rule.name)}"


def _quoted(text: str) -> str:
    # Cut twice: what is not printable takes several characters.
    quoted = repr(text[:_QUOTED])
    if len(quoted) > _QUOTED + 2:
        quoted = quoted[: _QUOTED + 1] + quoted[0]
    return quoted if len(text) <= _QUOTED else f"{quoted}..."
