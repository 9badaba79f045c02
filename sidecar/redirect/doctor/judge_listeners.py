"""Who listens at the ports that the rules lead to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sidecar.config.model import Endpoint
from sidecar.redirect.doctor.finding import Check, Finding, Level
from sidecar.redirect.doctor.sockets import LOOPBACK, listeners_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.redirect.doctor.facts import Facts
    from sidecar.redirect.model import Family

_problem = partial(Finding, Check.LISTENER, Level.PROBLEM)


def judge_listeners(facts: Facts) -> Iterator[Finding]:
    """Judge both listeners, in each family that the pod has."""
    for family in facts.families:
        yield _judge(facts, family, outside=False)
        yield _judge(facts, family, outside=True)


def _judge(facts: Facts, family: Family, *, outside: bool) -> Finding:
    redirect = facts.redirect
    port = redirect.inbound_port if outside else redirect.outbound_port
    name = f"the {'inbound' if outside else 'outbound'} port {port}"
    found = listeners_at(facts.sockets, family, port, outside=outside)
    strangers = [each for each in found if each.uid != redirect.proxy_uid]
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
