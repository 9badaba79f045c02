"""Who listens at the ports that the rules lead to."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

from sidecar.config.model import Endpoint
from sidecar.redirect.doctor.finding import Check, Finding, Level
from sidecar.redirect.doctor.sockets import LOOPBACK, listeners_at
from sidecar.redirect.model import InboundMode, Ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.redirect.doctor.facts import Facts
    from sidecar.redirect.doctor.sockets import Socket
    from sidecar.redirect.model import Family, Redirect

_problem = partial(Finding, Check.LISTENER, Level.PROBLEM)


def judge_listeners(facts: Facts) -> Iterator[Finding]:
    """Judge both listeners, in each family that the pod has, and who else is let by."""
    for family in facts.families:
        yield _judge(facts, family, outside=False)
        yield _judge(facts, family, outside=True)
    yield from _let_by(facts)


def _judge(facts: Facts, family: Family, *, outside: bool) -> Finding:
    redirect = facts.redirect
    port = redirect.inbound_port if outside else redirect.outbound_port
    name = f"the {'inbound' if outside else 'outbound'} port {port}"
    found = listeners_at(facts.sockets, family, port, outside=outside)
    strangers = [each for each in found if each.uid not in _users(redirect)]
    if strangers:
        each = strangers[0]
        return _problem(
            f"user {each.uid} listens at {each.local}, where the rules lead to, and the"
            f" sidecar is user {redirect.proxy_uid}",
            why="it gets the pod's connections in plain, or is the sidecar with a user"
            " whose own connections come back to it",
            remedy=f"run the sidecar as user {redirect.proxy_uid}, or say which it is:"
            " --proxy-uid; no other process may have its ports",
            family=family,
        )
    if found and outside and (wrong := _hands_over(found[0], facts, family)):
        return wrong
    if found:
        return Finding(
            Check.LISTENER,
            Level.OK,
            f"the sidecar listens on {name}: {found[0].local}",
            family=family,
        )
    if facts.before_start:
        return Finding(
            Check.LISTENER,
            Level.NOTE,
            f"nobody listens on {name} yet",
            family=family,
        )
    listen = Endpoint("::" if outside else LOOPBACK[family], port)
    return _problem(
        f"nobody listens on {name}, where the rules lead to",
        why="the sidecar is down or listens elsewhere: connections are refused",
        remedy=f'start it with `listen: "{listen}"`; where it is yet to be started,'
        " say so: --before-start",
        family=family,
    )


def _let_by(facts: Facts) -> Iterator[Finding]:
    """Find who listens at a port that is let by for the sidecar's own probes."""
    redirect, told = facts.redirect, set[tuple[int, int]]()
    for each in facts.sockets:
        port = Ports(each.local.port, each.local.port)
        if (
            each.listens
            and each.uid not in _users(redirect)
            and not ip_address(each.local.host).is_loopback
            and any(ports.covers(port) for ports in redirect.health_ports)
            and (each.uid, each.local.port) not in told
        ):
            told.add((each.uid, each.local.port))
            yield _problem(
                f"user {each.uid} listens at {each.local}, which --health-ports lets by"
                " for the sidecar",
                why="who calls it reaches it without mTLS and without policy",
                remedy=f"take {port} out of --health-ports, or have it listen elsewhere",
            )


def _users(redirect: Redirect) -> set[int]:
    """Give who the sidecar may be: with TPROXY root, which the rules know by its group.

    Kubernetes gives the capability that it then needs to no other user.
    """
    tproxy = redirect.inbound_mode is InboundMode.TPROXY
    return {redirect.proxy_uid, 0} if tproxy else {redirect.proxy_uid}


def _hands_over(found: Socket, facts: Facts, family: Family) -> Finding | None:
    """Find a listener that TPROXY cannot hand anything to, or that waits for it."""
    if facts.transparent is None:
        return None
    tproxy = facts.redirect.inbound_mode is InboundMode.TPROXY
    transparent = found.inode in facts.transparent
    if transparent is tproxy:
        return None
    return _problem(
        f"{found.local} {'takes' if transparent else 'does not take'} what TPROXY hands"
        f" over, and --inbound-mode is {facts.redirect.inbound_mode}",
        why="what comes in does not find the sidecar, or not its destination",
        remedy="the inbound listener has `transparent: true` with tproxy, and only then",
        family=family,
    )
