"""An explanation as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sidecar.config.model import Mode
from sidecar.policy.evaluate import Verdict
from sidecar.policytools.inbound import Effect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sidecar.policy.evaluate import Decision, DryRun
    from sidecar.policytools.inbound import Judgement, Said
    from sidecar.policytools.rulebook import Rulebook

_FATES: Final = {
    Verdict.ALLOW: "allowed",
    Verdict.DENY: "denied",
    Verdict.AUDIT: "audited",
}
_DEFAULTS: Final = {
    Verdict.ALLOW: "no rule denies it, and the default is allow",
    Verdict.DENY: "no rule allows it, and the default is deny",
    Verdict.AUDIT: "no rule allows it; it passes, as the default is audit, and is "
    "recorded as what would be denied",
}
_EFFECTS: Final = {
    Effect.DECIDES: "decides",
    Effect.OVERRULED: "matches, but a matching deny wins",
    Effect.LATER: "matches, after the one that decides",
    Effect.WOULD_DECIDE: "would decide, but is a dry run",
    Effect.DRY_RUN: "matches, is a dry run, and would change nothing",
    Effect.MISSES: "does not match",
}
_UNASKED: Final = {**_EFFECTS, Effect.DECIDES: "would decide, were it asked"}
_MODES: Final = {
    Mode.STRICT: "strict: mutual TLS or nothing",
    Mode.PERMISSIVE: "permissive: mutual TLS, or plaintext as unauthenticated",
    Mode.DISABLED: "disabled: no TLS, everybody is unauthenticated",
}


def explanation_lines(
    book: Rulebook,
    judgement: Judgement,
    said: Sequence[Said],
    remedy: str = " (--all shows every rule)",
) -> Iterator[str]:
    """Write what becomes of a call, and what the rules *said*: those to be shown.

    *remedy* is for those who would see the others.
    """
    yield headline(book, judgement)
    for label, text in _facts(book, judgement):
        yield f"  {label:<9} {text}"
    if judgement.nameless:  # what rules say of nobody is no help
        return
    if said:
        yield "rules"
    words = _EFFECTS if judgement.entry.refused is None else _UNASKED
    for each in said:
        yield from _rule(book, each, words)
    left_out = len(book.policy.rules) - len(said)
    if left_out:
        rules = "1 rule" if left_out == 1 else f"{left_out:,} rules"
        yield f"  and {rules} further off{remedy}"


def headline(book: Rulebook, judgement: Judgement) -> str:
    """Say in one line what becomes of it."""
    refused, decision = judgement.entry.refused, judgement.decision
    fate = _FATES[judgement.verdict]
    if refused is not None:
        reasons = " or ".join(refused.reasons)
        return f"{fate} in the handshake ({reasons}): {refused.detail}"
    return f"{fate} {_by(book, decision)}"


def _by(book: Rulebook, decision: Decision) -> str:
    if decision.rule is None:
        return f"by default: {_DEFAULTS[decision.verdict]}"
    return f"by rule {_named(book, decision.rule)}"


def _named(book: Rulebook, name: str) -> str:
    return f"'{name}' ({book.rule_place(book.number_of(name))})"


def _facts(book: Rulebook, judgement: Judgement) -> Iterator[tuple[str, str]]:
    call, entry = judgement.call, judgement.entry
    nobody = "without a name" if judgement.nameless else "unauthenticated"
    yield "peer", nobody if call.peer is None else str(call.peer)
    mode = "" if entry.mode is None else f", {_MODES[entry.mode]}"
    yield "port", f"{call.port}{mode}"
    yield (
        "source",
        "anywhere: no rule for this peer and port asks"
        if (call.source is None)
        else str(call.source),
    )
    if not judgement.nameless:
        yield from _on_policy(book, judgement)
    if judgement.plaintext is not None:
        fate = _FATES[judgement.plaintext.verdict]
        by = _by(book, judgement.plaintext)
        yield (
            "plaintext",
            f"without the sidecar's TLS, unauthenticated, it is {fate} {by}",
        )
    for note in entry.notes:
        yield "note", note


def _on_policy(book: Rulebook, judgement: Judgement) -> Iterator[tuple[str, str]]:
    decision = judgement.decision
    if judgement.entry.refused is not None:
        fate = _FATES[decision.verdict]
        yield "policy", f"is not asked; it would say: {fate} {_by(book, decision)}"
    if decision.near_miss is not None:
        yield "nearest", decision.near_miss
    if decision.dry_run is not None:
        yield "dry run", _dry_run(book, decision.dry_run)


def _dry_run(book: Rulebook, dry_run: DryRun) -> str:
    fate = _FATES[dry_run.verdict]
    return (
        f"with its dry runs in force it is {fate} by rule {_named(book, dry_run.rule)}"
    )


def _rule(book: Rulebook, said: Said, words: Mapping[Effect, str]) -> Iterator[str]:
    number = said.statement.number
    rule = book.policy.rules[number]
    dry = ", dry run" if rule.dry_run else ""
    what = f"{rule.action} {rule.name}{dry}: {words[said.effect]}"
    yield f"  {book.rule_place(number)}: {what}"
    for miss in said.statement.misses:
        yield f"      {miss.part}: {miss.what}"
