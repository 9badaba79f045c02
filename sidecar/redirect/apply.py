"""Putting rules in place and taking them away: for both families, or for none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from sidecar.redirect.backend import NoTables, RedirectError
from sidecar.redirect.model import Backend, Family
from sidecar.redirect.render import NOTHING, Owned, transition, wanted
from sidecar.redirect.saved import Saved, parse_saved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.redirect.backend import Tables
    from sidecar.redirect.model import Redirect

Pair = "tuple[Tables, Tables]"


@frozen
class Surveyed:
    """The tables of one family, and what was found there."""

    tables: Tables
    saved: Saved | RedirectError

    @property
    def owned(self) -> Owned:
        """What of it is ours."""
        return self.saved.owned if isinstance(self.saved, Saved) else NOTHING

    @property
    def foreign(self) -> bool:
        """Whether somebody else has rules there."""
        return isinstance(self.saved, Saved) and self.saved.foreign


@frozen
class Change:
    """What one family's tables are to become."""

    where: Surveyed
    after: Owned

    def __str__(self) -> str:
        tables = self.where.tables
        place = f"{tables.family} ({tables.backend})"
        if self.where.owned.same_as(self.after):
            return f"{place}: nothing to change, {self.after.count} rules"
        if not self.after:
            return f"{place}: {self.where.owned.count} rules removed"
        return f"{place}: {self.after.count} rules in place"


def apply(
    redirect: Redirect,
    found: Sequence[tuple[Tables, Tables]],
    only: Backend | None,
    ipv6_interfaces: Sequence[str],
) -> list[str]:
    """Put the rules of *redirect* in place, and say what was done.

    Where several backends would do, it is the one that has rules already: ours, or
    else anybody's. Rules of ours in another are taken away.

    Raises:
        RedirectError: It could not be done; the rules are as they were.
    """
    surveys = [_survey(pair) for pair in found]
    refusals: list[RedirectError] = []
    for chosen in _candidates(surveys, only):
        changes: list[Change] = []
        notes: list[str] = []
        for where in chosen:
            after = wanted(redirect, where.tables.family)
            changes.append(Change(where, after))
        changes += [
            Change(where, NOTHING)
            for other in surveys
            if other is not chosen
            for where in other
            if where.owned
        ]
        try:
            notes = _carry_out(changes, ipv6_interfaces)
        except RedirectError as error:
            refusals.append(error)
        else:
            return notes
    raise RedirectError("; ".join(map(str, refusals)))


def remove(found: Sequence[tuple[Tables, Tables]]) -> list[str]:
    """Take away whatever is ours, in every backend, and say what was done.

    Raises:
        RedirectError: It could not be done; the rules are as they were.
    """
    surveys = [_survey(pair) for pair in found]
    readable = [each for pair in surveys for each in pair if _is_read(each)]
    if not readable:
        raise RedirectError("; ".join(_refusals(surveys)))
    changes = [Change(each, NOTHING) for each in readable if each.owned]
    return _carry_out(changes, ()) or ["nothing to remove"]


def _survey(pair: tuple[Tables, Tables]) -> tuple[Surveyed, Surveyed]:
    first, second = (_read(tables) for tables in pair)
    return first, second


def _read(tables: Tables) -> Surveyed:
    try:
        return Surveyed(tables, parse_saved(tables.read()))
    except RedirectError as error:
        return Surveyed(tables, error)


def _is_read(where: Surveyed) -> bool:
    return isinstance(where.saved, Saved)


def _refusals(surveys: Sequence[Sequence[Surveyed]]) -> list[str]:
    return [
        str(each.saved)
        for pair in surveys
        for each in pair
        if isinstance(each.saved, RedirectError)
    ]


def _candidates(
    surveys: Sequence[tuple[Surveyed, Surveyed]], only: Backend | None
) -> Sequence[tuple[Surveyed, Surveyed]]:
    """Give the backends to try, in order.

    Raises:
        RedirectError: There is none, and why.
    """
    if only is not None:
        surveys = [pair for pair in surveys if pair[0].tables.backend is only]
        if not surveys:
            raise RedirectError(
                f"no iptables programs of the backend {only!s}: install them, or"
                " leave out --backend"
            )
    usable = [pair for pair in surveys if _is_read(pair[0])]
    if not usable:
        raise RedirectError("; ".join(_refusals(surveys)))
    ours = [pair for pair in usable if any(each.owned for each in pair)]
    anybodys = [pair for pair in usable if any(each.foreign for each in pair)]
    return ours[:1] or anybodys[:1] or usable


def _carry_out(changes: Sequence[Change], ipv6_interfaces: Sequence[str]) -> list[str]:
    """Make all of *changes*, or none.

    Raises:
        RedirectError: One failed; those before it were undone.
    """
    done: list[Change] = []
    said: list[str] = []
    try:
        for change in changes:
            try:
                _make(change)
            except NoTables as error:
                said.append(_without_ipv6(change, error, ipv6_interfaces))
            else:
                done.append(change)
                said.append(str(change))
    except BaseException as error:
        failures = _undo(done)
        if failures and isinstance(error, RedirectError):
            raise RedirectError("; ".join([str(error), *failures])) from None
        raise
    return said


def _make(change: Change) -> None:
    if isinstance(change.where.saved, RedirectError):
        raise change.where.saved
    before = change.where.owned
    if not before.same_as(change.after):
        change.where.tables.write(transition(before, change.after))


def _without_ipv6(
    change: Change, error: NoTables, ipv6_interfaces: Sequence[str]
) -> str:
    """Say that there is no IPv6 to redirect.

    Raises:
        RedirectError: There is, and it would go round the sidecar.
    """
    if change.where.tables.family is not Family.IPV6:
        raise error
    if ipv6_interfaces:
        names = ", ".join(ipv6_interfaces)
        raise RedirectError(
            f"{error}: the pod has IPv6 addresses on {names}, which nothing would"
            " guard: load ip6table_nat or nf_tables on the node, or set"
            " net.ipv6.conf.all.disable_ipv6"
        )
    return f"ipv6: this kernel has no tables for it ({error}), and the pod no address"


def _undo(done: Sequence[Change]) -> list[str]:
    """Put back what was there before; say what could not be."""
    failures = []
    for change in reversed(done):
        before = change.where.owned
        if before.same_as(change.after):
            continue
        tables = change.where.tables
        try:
            tables.write(transition(change.after, before))
        except RedirectError as error:
            failures.append(f"and the rules of {tables.family} stay changed: {error}")
    return failures
