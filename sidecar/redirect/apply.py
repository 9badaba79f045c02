"""Putting rules in place and taking them away: for both families, or for none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import frozen

from sidecar.redirect.backend import NoTables, RedirectError
from sidecar.redirect.iproute import turns
from sidecar.redirect.model import Backend, Family
from sidecar.redirect.render import NOTHING, TPROXY, Owned, transitions, wanted
from sidecar.redirect.routing import TABLE, Routing, wanted_routing
from sidecar.redirect.saved import Saved, parse_saved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sidecar.redirect.backend import Tables
    from sidecar.redirect.iproute import Routes, Turn
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
    routes: Sequence[Routes] = (),
) -> list[str]:
    """Put the rules of *redirect* in place, and say what was done.

    With TPROXY, the routing in *routes* comes with them.

    Where several backends would do, it is the one that has rules already: ours, or
    else anybody's. Rules of ours in another are taken away.

    Raises:
        RedirectError: It could not be done; the rules are as they were.
    """
    surveys = [_survey(pair) for pair in found]
    routing = turns(routes, wanted_routing(redirect))
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
            notes = _carry_out(changes, ipv6_interfaces, routing)
            notes += _left(changes, routes)
        except RedirectError as error:
            refusals.append(error)
        else:
            return notes
    raise RedirectError("; ".join(dict.fromkeys(map(str, refusals))))


def remove(
    found: Sequence[tuple[Tables, Tables]], routes: Sequence[Routes] = ()
) -> list[str]:
    """Take away whatever is ours, in every backend, and say what was done.

    Raises:
        RedirectError: It could not be done; the rules are as they were.
    """
    surveys = [_survey(pair) for pair in found]
    readable = [each for pair in surveys for each in pair if _is_read(each)]
    if not readable:
        raise RedirectError("; ".join(_refusals(surveys)))
    changes = [Change(each, NOTHING) for each in readable if each.owned]
    routing = turns(routes, Routing())
    said = _carry_out(changes, (), routing) + _left(changes, routes)
    return said or ["nothing to remove"]


def _left(changes: Sequence[Change], routes: Sequence[Routes]) -> list[str]:
    """Say what may be left of TPROXY where there is no `ip` to take it away."""
    gone = any(
        TPROXY in each.where.owned.chains and TPROXY not in each.after.chains
        for each in changes
    )
    if routes or not gone:
        return []
    return [f"the routing of answers stays, table {TABLE}: ip is not on the PATH"]


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


def _carry_out(
    changes: Sequence[Change],
    ipv6_interfaces: Sequence[str],
    routing: Sequence[Turn] = (),
) -> list[str]:
    """Make all of *changes* and turn the routing, or do nothing.

    Routes come before the rules that need them, and go after.

    Raises:
        RedirectError: One failed; those before it were undone.
    """
    undo: list[Callable[[], list[str]]] = []
    said: list[str] = []
    try:
        for turn in routing:
            if turn.after:
                said += _turn(turn, ipv6_interfaces, undo)
        for change in changes:
            try:
                _make(change)
            except NoTables as error:
                said.append(_without_ipv6(change, error, ipv6_interfaces))
            else:
                undo.append(partial(_undo, change))
                said.append(str(change))
        for turn in routing:
            if not turn.after:
                said += _turn(turn, ipv6_interfaces, undo)
    except BaseException as error:
        failures = [each for back in reversed(undo) for each in back()]
        if failures and isinstance(error, RedirectError):
            raise RedirectError("; ".join([str(error), *failures])) from None
        raise
    return said


def _turn(
    turn: Turn, ipv6_interfaces: Sequence[str], undo: list[Callable[[], list[str]]]
) -> list[str]:
    try:
        turn.make()
    except RedirectError as error:
        if turn.routes.family is Family.IPV6 and turn.after and not ipv6_interfaces:
            return [f"ipv6: no routing of answers ({error}), and the pod no address"]
        raise
    undo.append(turn.undo)
    return [str(turn)]


def _make(change: Change) -> None:
    """Make *change*, or nothing of it.

    Raises:
        RedirectError: It failed.
    """
    if isinstance(change.where.saved, RedirectError):
        raise change.where.saved
    before = change.where.owned
    if before.same_as(change.after):
        return
    tables = change.where.tables
    done: list[str] = []
    try:
        for table, text in transitions(before, change.after).items():
            tables.write(text)
            done.append(table)
    except BaseException as error:  # somebody may have lost patience, too
        failures = _write_back(change, done)
        if failures and isinstance(error, RedirectError):
            raise RedirectError("; ".join([str(error), *failures])) from None
        raise


def _without_ipv6(
    change: Change, error: NoTables, ipv6_interfaces: Sequence[str]
) -> str:
    """Say that there is no IPv6 to redirect.

    Raises:
        RedirectError: There is, and it would go round the sidecar.
    """
    if change.where.tables.family is not Family.IPV6:
        remedy = "load nf_tables, or ip_tables and iptable_nat, on the node"
        raise RedirectError(f"{error}: {remedy}") from None
    if ipv6_interfaces:
        names = ", ".join(ipv6_interfaces)
        raise RedirectError(
            f"{error}: the pod has IPv6 addresses on {names}, which nothing would"
            " guard: load ip6table_nat or nf_tables on the node, or set"
            " net.ipv6.conf.all.disable_ipv6"
        )
    return f"ipv6: this kernel has no tables for it ({error}), and the pod no address"


def _undo(change: Change) -> list[str]:
    """Put back what was there before; say what could not be."""
    before = change.where.owned
    if before.same_as(change.after):
        return []
    return _write_back(change, [*transitions(before, change.after)])


def _write_back(change: Change, done: Sequence[str]) -> list[str]:
    """Undo *change* in the tables where it is *done*; say what could not be."""
    tables = change.where.tables
    back = transitions(change.after, change.where.owned)
    failures = []
    for table in reversed(done):
        try:
            tables.write(back[table])
        except RedirectError as error:
            failures.append(f"and the rules of {tables.family} stay changed: {error}")
    return failures
