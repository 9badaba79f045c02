"""The policy as values: what `policy.yaml` says, once it is known to be sound.

Nothing here decides. `sidecar.policy.compile` arranges the rules for look-up and
`sidecar.policy.evaluate` takes the decision.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

if TYPE_CHECKING:
    from sidecar.policy.pattern import PeerPattern

Network: TypeAlias = IPv4Network | IPv6Network


class Action(StrEnum):
    """What a rule does with the connections that it matches."""

    ALLOW = "allow"
    DENY = "deny"


class Default(StrEnum):
    """What becomes of a connection that no rule matches."""

    DENY = "deny"
    AUDIT = "audit"
    """Let it pass and record that it would be denied."""
    ALLOW = "allow"


@frozen
class Rule:
    """One rule: it matches when the peer, the port and the source all do.

    Attributes:
        name: How metrics and the log call it; no two rules share one.
        peers: Any of them will do; none of them matches nobody.
        ports: Destination ports, before redirection; None is every port.
        sources: Networks that the peer's address is in; None is anywhere.
        dry_run: Decide and record, without an effect on the verdict.
    """

    name: str
    action: Action
    peers: tuple[PeerPattern, ...]
    ports: frozenset[int] | None = None
    sources: tuple[Network, ...] | None = None
    dry_run: bool = False


@frozen
class Policy:
    """The rules in the order of the file, and what happens when none matches.

    A matching deny wins over any allow; within either the first rule in the file
    is the one that is named.
    """

    default: Default = Default.DENY
    rules: tuple[Rule, ...] = ()
