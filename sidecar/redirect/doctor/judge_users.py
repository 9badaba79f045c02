"""Whether anybody but the sidecar has its user, which the rules let by."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from sidecar.config.model import Endpoint
from sidecar.redirect.doctor.finding import Check, Finding, Level
from sidecar.redirect.doctor.processes import impostors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.redirect.doctor.facts import Facts
    from sidecar.redirect.doctor.sockets import Socket

_ADMIN: Final = 15000
_WHY: Final = "what it sends goes past the sidecar, without mTLS and without policy"

_problem = partial(Finding, Check.USER, Level.PROBLEM, why=_WHY)


def judge_users(facts: Facts) -> Iterator[Finding]:
    """Judge the processes that are to be seen, and the sockets of those that are not.

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
    strangers = [
        each
        for each in facts.sockets
        if each.uid == redirect.proxy_uid and not _is_sidecars(each, facts)
    ]
    for sock in strangers:
        yield _listener(sock, facts)
    if not found and not strangers:
        yield Finding(
            Check.USER,
            Level.OK,
            f"of {len(facts.processes)} processes and {len(facts.sockets)} listening sockets"
            f" that can be seen none but the sidecar's has its user"
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


def _is_sidecars(each: Socket, facts: Facts) -> bool:
    redirect, port = facts.redirect, each.local.port
    if port in {redirect.inbound_port, redirect.outbound_port}:
        return True
    if facts.intent is None:
        return port == _ADMIN or any(
            ports.first <= port <= ports.last for ports in redirect.health_ports
        )
    config = facts.intent.config
    listeners = (*config.inbound.listeners, *config.outbound.listeners)
    own = [each.listen for each in listeners]
    own += [at for at in (config.admin, config.telemetry) if isinstance(at, Endpoint)]
    # The kernel chose a port for 0; which one it was is not known here.
    return any(at.port in {0, port} for at in own)
