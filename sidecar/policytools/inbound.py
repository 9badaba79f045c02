"""Why a connection to the application would be let in, or not.

The verdict is that of `sidecar.policy.evaluate`, as on the data path; what the rules
say beside it explains it, and decides nothing.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.policy.evaluate import Decision, Verdict, evaluate
from sidecar.policy.model import Action
from sidecar.policy.scope import comparable
from sidecar.policytools.entry import enter
from sidecar.policytools.statement import statement_of

if TYPE_CHECKING:
    from sidecar.identity.peer import Peer
    from sidecar.policy.model import Rule
    from sidecar.policytools.entry import Call, Entry
    from sidecar.policytools.rulebook import Rulebook
    from sidecar.policytools.statement import Statement

_ANYWHERE: Final = IPv4Address(0)
"""Stands for every source where no rule asks for one."""


class Effect(StrEnum):
    """What a rule has to do with a decision."""

    DECIDES = "decides"
    OVERRULED = "overruled"
    """It allows this, and a deny matches."""
    LATER = "later"
    """It says the same, after the rule that decides."""
    WOULD_DECIDE = "would_decide"
    """It would, were it not a dry run."""
    DRY_RUN = "dry_run"
    """It matches, and would change nothing."""
    MISSES = "misses"


class SourceNeeded(ValueError):
    """A rule asks where the connection comes from, and nobody has said it.

    Attributes:
        number: The first such rule.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


@frozen
class Judgement:
    """What becomes of a call.

    Attributes:
        call: What was asked.
        entry: How it gets to the policy, and as whom.
        decision: What the policy says; where it is not asked, what it would say.
        plaintext: What the policy says of the same caller without TLS, where it may
            come so as well.
    """

    call: Call
    entry: Entry
    decision: Decision
    plaintext: Decision | None

    @property
    def verdict(self) -> Verdict:
        """What becomes of the connection."""
        return Verdict.DENY if self.entry.refused else self.decision.verdict

    @property
    def nameless(self) -> bool:
        """Whether it shows a certificate out of which no name can be read."""
        return self.entry.refused is self.call.refused and not (
            self.call.refused is None or self.call.peer
        )

    @property
    def allowed(self) -> bool:
        """Whether the application is reached."""
        return self.verdict is not Verdict.DENY


@frozen
class Said:
    """What a rule says, and what has come of it."""

    statement: Statement
    effect: Effect


def judge(book: Rulebook, call: Call) -> Judgement:
    """Say what becomes of *call*, at the cost of a connection.

    Raises:
        SourceNeeded: It may depend on the source, which the call does not have.
    """
    entry = enter(book.config, call)
    decision = _decide(book, entry.peer, call)
    plaintext = _decide(book, None, call) if entry.plaintext_too else None
    return Judgement(call, entry, decision, plaintext)


def _decide(book: Rulebook, peer: Peer | None, call: Call) -> Decision:
    if call.source is None:
        number = book.first_with_sources(peer, call.port)
        if number is not None:
            raise SourceNeeded(number)
    return evaluate(book.policy, peer, call.port, call.source or _ANYWHERE)


def every_rule(book: Rulebook, judgement: Judgement) -> list[Said]:
    """Say what every rule says, in the order of the file.

    It costs time in proportion to the rules.
    """
    call, rules = judgement.call, book.policy.rules
    source = None if call.source is None else comparable(call.source)
    statements = (
        statement_of(rules, number, judgement.entry.peer, call.port, source)
        for number in range(len(rules))
    )
    decision = judgement.decision
    return [
        Said(each, _effect(each, rules[each.number], decision)) for each in statements
    ]


def _effect(statement: Statement, rule: Rule, decision: Decision) -> Effect:
    if not statement.matches:
        return Effect.MISSES
    if rule.name == decision.rule:
        return Effect.DECIDES
    if decision.dry_run is not None and rule.name == decision.dry_run.rule:
        return Effect.WOULD_DECIDE
    if rule.dry_run:
        return Effect.DRY_RUN
    denied = decision.verdict is Verdict.DENY
    return Effect.OVERRULED if denied and rule.action is Action.ALLOW else Effect.LATER
