"""The rules that are there, against those that the options ask for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.redirect.doctor.finding import Check, Finding, Level
from sidecar.redirect.doctor.ruleset import Ruleset, parse_ruleset
from sidecar.redirect.model import Family
from sidecar.redirect.render import TABLES, wanted
from sidecar.redirect.saved import Saved, parse_saved
from sidecar.redirect.words import Canonical, canonical, target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sidecar.redirect.doctor.facts import Facts, Tables
    from sidecar.redirect.render import Owned

APPLY: Final = "run `sidecar redirect apply` with these same options"
_MESHES: Final = {
    "ISTIO_": "Istio",
    "PROXY_INIT_": "Linkerd",
    "KUMA_": "Kuma",
    "CONSUL_PROXY_": "Consul",
}
_SHOWN: Final = 3
"""How many rules of a kind are named; past that, how many there are."""

_ok = partial(Finding, Check.RULES, Level.OK)
_note = partial(Finding, Check.RULES, Level.NOTE)
_untested = partial(Finding, Check.RULES, Level.UNTESTED)
_problem = partial(Finding, Check.RULES, Level.PROBLEM)


@frozen
class _Read:
    """One backend's tables of a family, understood."""

    tables: Tables
    saved: Saved
    rules: Ruleset


def judge_rules(facts: Facts) -> Iterator[Finding]:
    """Judge the rules of both families; None where they were not to be seen."""
    if not facts.tables:
        yield _untested(
            f"the rules were not looked at: {facts.tables_unseen}",
            why="whether they are complete and in order is not known",
        )
        return
    for family in Family:
        yield from _judge_family(facts, family)


def _judge_family(facts: Facts, family: Family) -> Iterator[Finding]:
    tables = [each for each in facts.tables if each.family is family]
    read = [
        _Read(each, parse_saved(each.text), parse_ruleset(each.text))
        for each in tables
        if each.text is not None
    ]
    for each in tables:
        if each.text is None and not each.absent:
            yield _untested(
                f"the {each.backend} tables cannot be read: {each.refusal}",
                family=family,
            )
    holders = [each for each in read if each.saved.owned]
    if not holders:
        if read or all(each.absent for each in tables):  # else they may be there
            yield _missing(facts, family, tables)
        return
    if len(holders) > 1:
        names = " and ".join(str(each.tables.backend) for each in holders)
        yield _problem(
            f"both the {names} tables hold rules of ours",
            why="the kernel asks both, and which is first nobody has chosen",
            remedy=f"{APPLY}: it takes one of them away",
            family=family,
        )
    for holder in holders:
        found = list(_judge_holder(holder, wanted(facts.redirect, family), read))
        yield from found
        if not found:
            owned, backend = holder.saved.owned, holder.tables.backend
            yield _ok(f"{owned.count} rules, in order ({backend})", family=family)


def _missing(facts: Facts, family: Family, tables: Sequence[Tables]) -> Finding:
    if family not in facts.families:
        return _note("there are no rules, and the pod has no address", family=family)
    if family is Family.IPV4:
        return _problem(
            "there are no rules of ours",
            why="all of the pod's TCP goes past the sidecar",
            remedy=APPLY,
            family=family,
        )
    interfaces = ", ".join(facts.ipv6_interfaces)
    absent = all(each.absent for each in tables)
    return _problem(
        f"IPv6 is open: no rules of ours, and there are addresses on {interfaces}",
        why="what is sent over IPv6, or comes in by it, goes past the sidecar",
        remedy="load ip6table_nat or nf_tables on the node, or set"
        " net.ipv6.conf.all.disable_ipv6"
        if absent
        else APPLY,
        family=family,
    )


def _judge_holder(
    holder: _Read, asked: Owned, read: Sequence[_Read]
) -> Iterator[Finding]:
    family, owned = holder.tables.family, holder.saved.owned
    yield from _differences(family, owned, asked)
    for hook, chain in _hooks(asked):
        ahead = list(holder.rules.takers(hook, chain, TABLES[chain]))
        if ahead and (hook, chain) in _hooks(owned):
            yield _problem(
                f"rules of others come before ours in {hook}: {listed(ahead)}",
                why="what they take never meets ours",
                remedy=_leave(ahead),
                family=family,
            )
    for each in read:
        for hook, chain in _hooks(asked):
            others = list(each.rules.takers(hook, chain, TABLES[chain]))
            if others and not each.saved.owned:
                yield _problem(
                    f"ours are in the {holder.tables.backend} tables, and the"
                    f" {each.tables.backend} ones hold {hook} rules of others:"
                    f" {listed(others)}",
                    why="the kernel asks both, and which is first nobody has chosen",
                    remedy=_leave(others)
                    if _mesh(others)
                    else "use one backend in the pod: --backend, or the image of whoever"
                    " made the others",
                    family=family,
                )
        for hook in dict.fromkeys(hook for hook, _ in _hooks(asked)):
            if hidden := list(each.rules.unfollowed(hook)):
                yield _problem(
                    f"rules of others hide TCP from connection tracking: {listed(hidden)}",
                    why="what is not tracked meets no nat rule, and goes past the"
                    " sidecar",
                    remedy="leave TCP out of them",
                    family=family,
                )


def _leave(rules: Sequence[str]) -> str:
    """Say what to do about *rules* of others."""
    if mesh := _mesh(rules):
        return (
            f"they are {mesh}'s: take the pod out of that mesh, and create it anew, as"
            " its rules stay; two sidecars would call each other"
        )
    return "move them behind ours, or have whoever made them leave them out"


def _mesh(rules: Sequence[str]) -> str | None:
    """Tell which other mesh has made *rules*, by the names of its chains."""
    names = [target(line) or "" for line in rules]
    found = (
        mesh
        for start, mesh in _MESHES.items()
        if any(name.startswith(start) for name in names)
    )
    return next(found, None)


def _hooks(owned: Owned) -> list[tuple[str, str]]:
    """Give each hook that leads to a chain of ours, and the chain."""
    return [(each.split()[1], target(each) or "") for each in owned.jumps]


def _differences(family: Family, owned: Owned, asked: Owned) -> Iterator[Finding]:
    for chain in owned.chains.keys() - asked.chains.keys():
        yield from _chain_differences(family, chain, owned.chains[chain], ())
    for hook, chain in _hooks(asked):
        there = [each for each in owned.jumps if target(each) == chain]
        due = [each for each in asked.jumps if target(each) == chain]
        if not there:
            yield _problem(
                f"nothing in {hook} leads to {chain}",
                why="its rules are never asked, and TCP goes past the sidecar",
                remedy=APPLY,
                family=family,
            )
        elif _canonical(there) != _canonical(due):
            yield _problem(
                f"what leads from {hook} to {chain} was changed: {listed(there)}",
                why="it may lead only a part of TCP to the sidecar, or some of it twice",
                remedy=APPLY,
                family=family,
            )
        yield from _chain_differences(
            family, chain, owned.chains.get(chain, ()), asked.chains[chain]
        )


def _chain_differences(
    family: Family, chain: str, there: Sequence[str], due: Sequence[str]
) -> Iterator[Finding]:
    has, wants = _canonical(there), _canonical(due)
    if has == wants:
        return
    if sorted(has) == sorted(wants):
        yield _problem(
            f"the rules of {chain} are out of order",
            why="the first rule that fits decides",
            remedy=APPLY,
            family=family,
        )
        return
    missing = [line for line in due if canonical(line) not in has]
    extra = [line for line in there if canonical(line) not in wants]
    parts = [
        f"{len(lines)} {said}: {listed(lines)}"
        for lines, said in ((missing, "missing"), (extra, "not expected"))
        if lines
    ] or ["some are there twice"]
    yield _problem(
        f"the rules of {chain} are not those of these options: {'; '.join(parts)}",
        why="they were changed, or made with other options or by another version",
        remedy=APPLY,
        family=family,
    )


def _canonical(lines: Sequence[str]) -> list[Canonical]:
    return [canonical(line) for line in lines]


def listed(lines: Sequence[str]) -> str:
    """Show the first of *lines*, and how many more there are."""
    shown = [f"`{line.strip()[:200]}`" for line in lines[:_SHOWN]]
    if len(lines) > _SHOWN:
        shown.append(f"and {len(lines) - _SHOWN} more")
    return ", ".join(shown)
