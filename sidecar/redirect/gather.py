"""Seeing what there is to see in a pod; nothing is changed."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import define, evolve, field, frozen

from sidecar.config.model import Endpoint
from sidecar.redirect import backend, iproute
from sidecar.redirect.call import (
    answers,
    call,
    listening,
    original_destination,
    source_towards,
)
from sidecar.redirect.doctor.facts import Aim, Facts, Fate, Probe, Service, Tables
from sidecar.redirect.doctor.judge_guards import names_of
from sidecar.redirect.doctor.processes import parse_process
from sidecar.redirect.doctor.sockets import LOOPBACK
from sidecar.redirect.doctor.targets import (
    Unreachable,
    captured,
    let_by,
    parse_ipv4_routes,
    parse_ipv6_routes,
)
from sidecar.redirect.look_up import look_up
from sidecar.redirect.model import Family
from sidecar.redirect.routing import wanted_routing
from sidecar.redirect.socket_lists import read_listeners

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from sidecar.redirect.doctor.facts import Intent
    from sidecar.redirect.doctor.processes import Process
    from sidecar.redirect.doctor.targets import Route
    from sidecar.redirect.model import Redirect
    from sidecar.redirect.routing import Routing

_PROC: Final = Path("/proc")
_MOST_PROCESSES: Final = 10_000
_CAPTURED_SECONDS: Final = 0.5
"""What is captured is answered by this machine, at once."""
_PASSED_SECONDS: Final = 0.1
"""And so what is not answered in this time was not captured."""


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
    deadline = _Deadline(time.monotonic() + wish.seconds)
    listeners = tuple(read_listeners())
    interfaces = backend.ipv6_addresses(_read(_PROC / "self/net/if_inet6"))
    routes = _routes()
    families = _families(routes, interfaces)
    tables, unseen = _tables(wish.path, deadline)
    names = names_of(wish.intent.config, wish.redirect) if wish.intent else ()
    with ExitStack() as stack:
        probing = _Probing(wish.redirect, routes, deadline)
        if wish.before_start:
            probing.stand_in(stack, families)
        probes = tuple(probe for family in families for probe in probing.probes(family))
        services = tuple(probing.service(each) for each in wish.services)
    addresses = look_up(names, deadline.left) if names else {}
    return Facts(
        wish.redirect,
        tables,
        unseen,
        families,
        interfaces,
        os.getpid(),
        os.geteuid(),
        os.getegid(),
        tuple(_processes()),
        listeners,
        probes,
        services,
        wish.before_start,
        wish.intent,
        _routing(wish, deadline),
        addresses,
    )


@frozen
class _Deadline:
    """When all has to be done; what is late is left out, and says so."""

    at: float

    @property
    def left(self) -> float:
        return max(0.0, self.at - time.monotonic())

    @property
    def why_not(self) -> str:
        return "no time was left for it: --timeout"


def _tables(path: str, deadline: _Deadline) -> tuple[tuple[Tables, ...], str]:
    try:
        backend.check_permission(_read(_PROC / "self/status"))
        found = backend.find_tables(path, 0, spare_seconds=deadline.left)
    except backend.RedirectError as error:
        return (), str(error)
    return tuple(_saved(each) for pair in found for each in pair), ""


def _saved(tables: backend.Tables) -> Tables:
    where = tables.backend, tables.family
    try:
        return Tables(*where, tables.read())
    except backend.RedirectError as error:
        return Tables(*where, None, str(error), isinstance(error, backend.NoTables))


def _routing(wish: Wish, deadline: _Deadline) -> dict[Family, Routing]:
    found = {}
    for each in iproute.find_routes(wish.path) if wanted_routing(wish.redirect) else ():
        if deadline.left:
            with suppress(backend.RedirectError):
                found[each.family] = each.read()
    return found


def _processes() -> Iterator[Process]:
    folders = (each for each in _PROC.iterdir() if each.name.isdecimal())
    for _, folder in zip(range(_MOST_PROCESSES), folders, strict=False):
        texts = (_read(folder / name) for name in ("status", "cmdline", "cgroup"))
        process = parse_process(int(folder.name), *texts)
        if process is not None:
            yield process


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


@define
class _Probing:
    """Makes the connections, one after the other."""

    redirect: Redirect
    routes: tuple[Route, ...]
    deadline: _Deadline
    standing_in: dict[Family, socket.socket] = field(factory=dict)

    def stand_in(self, stack: ExitStack, families: Sequence[Family]) -> None:
        """Listen where the sidecar will, and does not yet."""
        for family in families:
            at = LOOPBACK[family], self.redirect.outbound_port
            listener = stack.enter_context(listening(*at))
            if listener is not None:
                self.standing_in[family] = listener

    def probes(self, family: Family) -> Iterator[Probe]:
        """Make every connection that says something, in one family."""
        target = captured(self.redirect, family, self.routes)
        if isinstance(target, Unreachable):
            yield Probe(Aim.CAPTURED, family, None, Fate.UNTRIED, why_not=target.why)
        else:
            yield self._captured(family, target)
            yield self._as_the_proxy(family, target)
            if own := source_towards(target):
                yield self._to_itself(Aim.OWN_ADDRESS, family, own)
        yield self._to_itself(Aim.LOOPBACK, family, LOOPBACK[family])
        for each in let_by(self.redirect, family, self.routes):
            yield self._made(Aim.EXCLUDED, family, each, _PASSED_SECONDS)

    def service(self, address: Endpoint) -> Service:
        """Call a service address, and see what its socket has instead."""
        if not self.deadline.left:
            return Service(address, None, self.deadline.why_not)
        made = call(address, min(_PASSED_SECONDS, self.deadline.left))
        why_not = made.why_not or "it was refused at once"
        return Service(address, made.remote, "" if made.remote else why_not)

    def _captured(self, family: Family, target: Endpoint) -> Probe:
        if self._is_proxy():
            why_not = (
                "the check itself runs with the sidecar's user or group"
                f" ({os.geteuid()}, {os.getegid()}), whose connections the rules let"
                " by: run it with another one, in a container of its own"
            )
            return Probe(Aim.CAPTURED, family, target, Fate.UNTRIED, why_not=why_not)
        probe = self._made(Aim.CAPTURED, family, target, _CAPTURED_SECONDS)
        seconds = min(_CAPTURED_SECONDS, self.deadline.left)
        listener = self.standing_in.get(family)
        if probe.fate is Fate.LEFT and answers(target, seconds):
            return evolve(probe, fate=Fate.ANSWERED)
        if probe.fate is Fate.ARRIVED and listener is not None and seconds:
            original = original_destination(target, listener, seconds)
            return evolve(probe, stood_in=True, original=original)
        return probe

    def _as_the_proxy(self, family: Family, target: Endpoint) -> Probe:
        user = self.redirect.proxy_uid, self.redirect.proxy_gid
        if self._is_proxy():
            return self._made(Aim.PROXY, family, target, _PASSED_SECONDS)
        if os.geteuid() == 0:
            return self._made(Aim.PROXY, family, target, _PASSED_SECONDS, user)
        why_not = "only root may take the sidecar's user"
        return Probe(Aim.PROXY, family, target, Fate.UNTRIED, why_not=why_not)

    def _is_proxy(self) -> bool:
        redirect = self.redirect
        return os.geteuid() == redirect.proxy_uid or os.getegid() == redirect.proxy_gid

    def _to_itself(self, aim: Aim, family: Family, host: str) -> Probe:
        with listening(host, 0) as listener:
            if listener is None:
                why_not = f"there is no listening at {host}"
                return Probe(aim, family, None, Fate.UNTRIED, why_not=why_not)
            target = Endpoint(host, listener.getsockname()[1])
            return self._made(aim, family, target, _CAPTURED_SECONDS)

    def _made(
        self,
        aim: Aim,
        family: Family,
        target: Endpoint,
        seconds: float,
        user: tuple[int, int] | None = None,
    ) -> Probe:
        if not self.deadline.left:
            why_not = self.deadline.why_not
            return Probe(aim, family, target, Fate.UNTRIED, why_not=why_not)
        made = call(target, min(seconds, self.deadline.left), user)
        return Probe(aim, family, target, made.fate, made.at, made.why_not)
