"""The decision: may this peer, from this source, reach this port?

A decision is a value, for metrics and the log. What it says is for us: the peer never
learns the name of a rule, nor how near it came.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import frozen

from sidecar.policy.model import Default
from sidecar.policy.near_miss import near_miss
from sidecar.policy.scope import Source, comparable

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from sidecar.identity.peer import Peer
    from sidecar.policy.compile import CompiledPolicy, RuleIndex


class Verdict(StrEnum):
    """What becomes of the connection."""

    ALLOW = "allow"
    DENY = "deny"
    AUDIT = "audit"
    """Let through, though no rule allows it."""


@frozen
class DryRun:
    """What a rule would have decided, were it not a dry run.

    Attributes:
        verdict: Allow or deny.
        rule: The rule's name.
    """

    verdict: Verdict
    rule: str


@frozen
class Decision:
    """What the policy says of one connection.

    Attributes:
        verdict: What becomes of it.
        rule: The name of the rule that decided, None for the policy's default.
        dry_run: What would have been decided if dry runs counted, in case one of
            them would have been the rule to decide.
        near_miss: Where no rule allows the connection, the one that comes nearest and
            why it does not apply, in a short sentence for the log.
    """

    verdict: Verdict
    rule: str | None = None
    dry_run: DryRun | None = None
    near_miss: str | None = None

    @property
    def allowed(self) -> bool:
        """Whether the connection may go on."""
        return self.verdict is not Verdict.DENY


def evaluate(
    policy: CompiledPolicy,
    peer: Peer | None,
    port: int,
    source: IPv4Address | IPv6Address,
) -> Decision:
    """Decide about one connection. Nothing is raised, whatever the arguments.

    Args:
        policy: The rules.
        peer: Who connects, None if it showed no certificate.
        port: The destination port, before any redirection.
        source: The peer's address; IPv4-mapped IPv6 counts as IPv4.
    """
    where = comparable(source)
    deny = _first(policy.deny, peer, port, where)
    allow = None if deny is not None else _first(policy.allow, peer, port, where)
    dry_run = _dry_run(policy, (deny, allow), peer, port, where)
    if deny is not None:
        return Decision(Verdict.DENY, policy.rules[deny].name, dry_run)
    if allow is not None:
        return Decision(Verdict.ALLOW, policy.rules[allow].name, dry_run)
    if policy.default is Default.ALLOW:
        return Decision(Verdict.ALLOW, None, dry_run)
    missed = near_miss(policy, peer, port, where)
    return Decision(Verdict(policy.default), None, dry_run, missed)


def _first(
    index: RuleIndex | None, peer: Peer | None, port: int, source: Source
) -> int | None:
    return None if index is None else index.first(peer, port, source)


def _dry_run(
    policy: CompiledPolicy,
    effective: tuple[int | None, int | None],
    peer: Peer | None,
    port: int,
    source: Source,
) -> DryRun | None:
    # With its dry runs in force the policy would decide otherwise, or name another
    # rule, exactly if one of them comes before the effective rule of its kind and,
    # for an allow, no deny matches at all.
    deny, allow = effective
    number = _first(policy.dry_run_deny, peer, port, source)
    if number is not None and (deny is None or number < deny):
        return DryRun(Verdict.DENY, policy.rules[number].name)
    if deny is not None:
        return None
    number = _first(policy.dry_run_allow, peer, port, source)
    if number is not None and (allow is None or number < allow):
        return DryRun(Verdict.ALLOW, policy.rules[number].name)
    return None
