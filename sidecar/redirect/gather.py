"""Seeing what there is to see in a pod; nothing is changed."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.redirect import backend, iproute
from sidecar.redirect.doctor.answers import Answers, parse_answers
from sidecar.redirect.doctor.facts import Facts, Tables
from sidecar.redirect.doctor.judge_guards import names_of
from sidecar.redirect.doctor.processes import parse_process
from sidecar.redirect.doctor.targets import parse_ipv4_routes, parse_ipv6_routes
from sidecar.redirect.look_up import look_up
from sidecar.redirect.model import Family
from sidecar.redirect.probing import Deadline, Probing
from sidecar.redirect.routing import wanted_routing
from sidecar.redirect.socket_lists import read_listeners
from sidecar.redirect.transparent_listeners import transparent_listeners

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sidecar.config.model import Endpoint
    from sidecar.redirect.doctor.facts import Intent
    from sidecar.redirect.doctor.processes import Process
    from sidecar.redirect.doctor.targets import Route
    from sidecar.redirect.model import Redirect

_PROC: Final = Path("/proc")
_MOST_PROCESSES: Final = 10_000


@frozen
class Wish:
    """What is to be looked at, and for how long at most."""

    redirect: Redirect
    services: tuple[Endpoint, ...]
    intent: Intent | None
    path: str
    seconds: float
    before_start: bool


def gather(wish: Wish) -> Facts:
    """Look at everything that can be seen from here."""
    deadline = Deadline(time.monotonic() + wish.seconds)
    listeners = tuple(read_listeners())
    interfaces = backend.ipv6_addresses(_read(_PROC / "self/net/if_inet6"))
    routes = _routes()
    families = _families(routes, interfaces)
    tables, unseen = _tables(wish.path, deadline)
    names = names_of(wish.intent.config, wish.redirect) if wish.intent else ()
    with ExitStack() as stack:
        probing = Probing(wish.redirect, routes, deadline)
        if wish.before_start:
            probing.stand_in(stack, families)
        probes = tuple(probe for family in families for probe in probing.probes(family))
        services = tuple(probing.service(each) for each in wish.services)
    addresses = look_up(names, deadline.left) if names else {}
    return Facts(
        redirect=wish.redirect,
        tables=tables,
        tables_unseen=unseen,
        families=families,
        ipv6_interfaces=interfaces,
        pid=os.getpid(),
        uid=os.geteuid(),
        gid=os.getegid(),
        processes=tuple(_processes()),
        sockets=listeners,
        probes=probes,
        services=services,
        before_start=wish.before_start,
        intent=wish.intent,
        answers=_answers(wish, deadline),
        transparent=transparent_listeners(),
        addresses=addresses,
    )


def _tables(path: str, deadline: Deadline) -> tuple[tuple[Tables, ...], str]:
    try:
        backend.check_permission(_read(_PROC / "self/status"))
        found = backend.find_tables(path, 0, spare_seconds=deadline.left)
    except backend.RedirectError as error:
        return (), str(error)
    return tuple(_saved(each, deadline) for pair in found for each in pair), ""


def _saved(tables: backend.Tables, deadline: Deadline) -> Tables:
    where = tables.backend, tables.family
    if not deadline.left:
        return Tables(*where, None, deadline.why_not)
    try:
        return Tables(*where, tables.read())
    except backend.RedirectError as error:
        return Tables(*where, None, str(error), isinstance(error, backend.NoTables))


def _answers(wish: Wish, deadline: Deadline) -> dict[Family, Answers | str]:
    if not wanted_routing(wish.redirect):
        return {}
    routes = iproute.find_routes(wish.path)
    found: dict[Family, Answers | str] = {}
    for each in routes:
        try:
            found[each.family] = (
                parse_answers(*each.show()) if deadline.left else deadline.why_not
            )
        except backend.RedirectError as error:
            found[each.family] = str(error)
    return found or dict.fromkeys(Family, "ip is not on the PATH: install iproute2")


def _processes() -> Iterator[Process]:
    here = _networks(_PROC / "self")
    folders = (
        each
        for each in _PROC.iterdir()
        if each.name.isdecimal() and _is_among(_networks(each), here)
    )
    for _, folder in zip(range(_MOST_PROCESSES), folders, strict=False):
        texts = (_read(folder / name) for name in ("status", "cmdline", "cgroup"))
        process = parse_process(int(folder.name), *texts)
        if process is not None:
            yield process


def _networks(process: Path) -> tuple[str | None, int | None]:
    """Name the network namespace of a process, in two ways; None is not known.

    The link may only be read of one's own processes, or with CAP_SYS_PTRACE. But every
    network namespace has its own files below `net`, which everybody may look at.
    """
    link: str | None = None
    inode: int | None = None
    with suppress(OSError):
        link = str((process / "ns/net").readlink())
    with suppress(OSError):
        inode = (process / "net/dev").stat().st_ino
    return link, inode


def _is_among(
    process: tuple[str | None, int | None], here: tuple[str | None, int | None]
) -> bool:
    """Tell whether a process may be of this network; of what is unknown it may."""
    known = [pair for pair in zip(process, here, strict=True) if None not in pair]
    return not known or known[0][0] == known[0][1]


def _families(
    routes: Sequence[Route], ipv6_interfaces: Sequence[str]
) -> tuple[Family, ...]:
    """Tell which protocols the pod speaks; a pod without a network is one of IPv4.

    No file tells IPv4 addresses as simply, but with one comes a route.
    """
    ipv6 = (Family.IPV6,) if ipv6_interfaces else ()
    ipv4 = any(each.to.version == 4 and each.interface != "lo" for each in routes)
    return (Family.IPV4, *ipv6) if ipv4 or not ipv6 else ipv6


def _routes() -> tuple[Route, ...]:
    return (
        *parse_ipv4_routes(_read(_PROC / "self/net/route")),
        *parse_ipv6_routes(_read(_PROC / "self/net/ipv6_route")),
    )


def _read(path: Path) -> str:
    """Read a file of the kernel; what is gone, or not for us, is empty."""
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
