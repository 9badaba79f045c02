"""Whether anybody but the sidecar has its user, which the rules let by."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from sidecar.redirect.doctor.finding import Check, Finding, Level
from sidecar.redirect.doctor.processes import impostors
from sidecar.redirect.doctor.strangers import own_ports, strangers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.redirect.doctor.facts import Facts
    from sidecar.redirect.doctor.sockets import Socket

_ADMIN: Final = 15000
_WHY: Final = "what it sends goes past the sidecar, without mTLS and without policy"

_problem = partial(Finding, Check.USER, Level.PROBLEM, why=_WHY)


def judge_users(facts: Facts) -> Iterator[Finding]:
    """Judge the processes that are to be seen, and the sockets of those that are not.

    Those of other networks, as on a node, are not looked at: no rule here meets them.
    Another container's processes are only seen where the pod shares its PID
    namespace; its listening sockets always are, with their user.
    """
    redirect = facts.redirect
    found = impostors(
        facts.processes, redirect.proxy_uid, redirect.proxy_gid, facts.pid
    )
    for each in found:
        same_user = each.uid == redirect.proxy_uid
        name, number = ("user", each.uid) if same_user else ("group", each.gid)
        yield _problem(
            f"{each} runs with the sidecar's {name} {number}",
            remedy=f"give its container another one: securityContext.runAs"
            f"{name.capitalize()}",
        )
    others = strangers(facts.sockets, redirect.proxy_uid, _ports(facts))
    for sock in others:
        yield _listener(sock, facts)
    if not found and not others:
        yield Finding(
            Check.USER,
            Level.OK,
            f"of {len(facts.processes)} processes and {len(facts.sockets)} listening sockets"
            f" of this network that can be seen none but the sidecar's has its user"
            f" {redirect.proxy_uid}",
        )


def _listener(each: Socket, facts: Facts) -> Finding:
    what = (
        f"somebody with the sidecar's user {each.uid} listens at {each.local}, which is"
        " none of the sidecar's addresses"
    )
    if facts.intent is None and ip_address(each.local.host).is_loopback:
        # A listener with a fixed destination, or the admin's, most likely.
        return Finding(
            Check.USER,
            Level.NOTE,
            f"user {each.uid} listens at {each.local}: the sidecar, if that is its own",
            remedy="name its configuration, to be told: --config",
        )
    return _problem(
        what,
        remedy="give the application another user: securityContext.runAsUser"
        + (
            "; if it is the sidecar's own listener, name its configuration: --config"
            if facts.intent is None
            else ""
        ),
    )


def _ports(facts: Facts) -> frozenset[int]:
    """Give the ports at which the sidecar may listen."""
    redirect = facts.redirect
    ports = {redirect.inbound_port, redirect.outbound_port}
    if facts.intent is not None:
        return own_ports(facts.intent.config) | ports
    for each in redirect.health_ports:
        ports.update(range(each.first, each.last + 1))
    return frozenset({*ports, _ADMIN})
