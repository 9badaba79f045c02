"""What `sidecar policy explain --json` says: its keys are public, scripts read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidecar.policytools.rulebook import Location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.identity.peer import Peer
    from sidecar.policy.evaluate import Decision
    from sidecar.policytools.inbound import Judgement, Said
    from sidecar.policytools.rulebook import Rulebook


def explanation_value(
    book: Rulebook, judgement: Judgement, said: Sequence[Said]
) -> dict[str, Any]:
    """Give what becomes of a call, and what the rules *said*: those to be shown."""
    call, entry = judgement.call, judgement.entry
    return {
        "direction": "inbound",
        "decided_by": book.source,
        "verdict": str(judgement.verdict),
        "allowed": judgement.allowed,
        "peer": _peer(call.peer),
        "judged_as": _peer(entry.peer),
        "port": call.port,
        "mode": entry.mode and str(entry.mode),
        "source": call.source and str(call.source),
        "handshake": entry.refused
        and {"reason": str(entry.refused.reason), "detail": entry.refused.detail},
        "policy": _decision(book, judgement.decision),
        "plaintext": judgement.plaintext and _decision(book, judgement.plaintext),
        "rules": [_said(book, each) for each in said],
        "rules_left_out": len(book.policy.rules) - len(said),
        "notes": list(entry.notes),
    }


def _peer(peer: Peer | None) -> str | None:
    return None if peer is None else str(peer)


def _decision(book: Rulebook, decision: Decision) -> dict[str, Any]:
    dry_run = decision.dry_run
    return {
        "verdict": str(decision.verdict),
        "rule": decision.rule,
        **_location(book, decision.rule).value,
        "near_miss": decision.near_miss,
        "dry_run": dry_run
        and {
            "verdict": str(dry_run.verdict),
            "rule": dry_run.rule,
            **_location(book, dry_run.rule).value,
        },
    }


def _location(book: Rulebook, rule: str | None) -> Location:
    return Location("") if rule is None else book.rule_at(book.number_of(rule))


def _said(book: Rulebook, said: Said) -> dict[str, Any]:
    number = said.statement.number
    rule = book.policy.rules[number]
    return {
        "name": rule.name,
        "action": str(rule.action),
        "dry_run": rule.dry_run,
        **book.rule_at(number).value,
        "effect": str(said.effect),
        "misses": {str(each.part): each.what for each in said.statement.misses},
    }
