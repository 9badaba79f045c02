"""The rules, arranged so that a decision costs the same however many there are.

A rule is known by its number here, its place in the file: of several that match, the
smallest is the one to name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from sidecar.policy.model import Action, Default, Policy, Rule
from sidecar.policy.peer_index import PeerIndex
from sidecar.policy.scope import Scope, Scopes, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.identity.peer import Peer
    from sidecar.policy.pattern import PeerPattern


@frozen(eq=False)
class RuleIndex:
    """Some of a policy's rules.

    Attributes:
        peers: For each pattern that one of them has, the scope of those that do.
    """

    peers: PeerIndex[Scope]

    def first(self, peer: Peer | None, port: int, source: Source) -> int | None:
        """Return the first rule that matches a connection, None if none does."""
        found = None
        for scope in self.peers.matching(peer):
            for sources in scope.at(port):
                number = sources.match(source)
                if number is not None and (found is None or number < found):
                    found = number
        return found


@frozen(eq=False)
class CompiledPolicy:
    """A policy, ready for `sidecar.policy.evaluate`.

    Attributes:
        rules: In the order of the file.
        default: What happens when none of them matches.
        deny: Those that deny, None if there is none; so are the others.
        allow: Those that allow.
        dry_run_deny: Those that would deny.
        dry_run_allow: Those that would allow.
    """

    rules: tuple[Rule, ...]
    default: Default
    deny: RuleIndex | None
    allow: RuleIndex | None
    dry_run_deny: RuleIndex | None
    dry_run_allow: RuleIndex | None


def compile_policy(policy: Policy) -> CompiledPolicy:
    """Compile a policy, once for all the decisions that it will take.

    It costs time and memory in proportion to what the rules say: their peers, ports
    and sources, one by one.
    """
    scopes = Scopes(policy.rules)

    def index(action: Action, *, dry_run: bool) -> RuleIndex | None:
        numbers = [
            number
            for number, rule in enumerate(policy.rules)
            if rule.action is action and rule.dry_run is dry_run
        ]
        return _index(policy.rules, numbers, scopes) if numbers else None

    return CompiledPolicy(
        rules=policy.rules,
        default=policy.default,
        deny=index(Action.DENY, dry_run=False),
        allow=index(Action.ALLOW, dry_run=False),
        dry_run_deny=index(Action.DENY, dry_run=True),
        dry_run_allow=index(Action.ALLOW, dry_run=True),
    )


def _index(
    rules: tuple[Rule, ...], numbers: Iterable[int], scopes: Scopes
) -> RuleIndex:
    by_peer: dict[PeerPattern, list[int]] = {}
    for number in numbers:
        for pattern in dict.fromkeys(rules[number].peers):
            by_peer.setdefault(pattern, []).append(number)
    return RuleIndex(PeerIndex((p, scopes.of(named)) for p, named in by_peer.items()))
