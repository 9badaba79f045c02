"""Pods as the doctor sees them: one in which all is well, and what to change of it."""

from __future__ import annotations

from attrs import evolve

from sidecar.config.model import (
    Config,
    Endpoint,
    Identity,
    Inbound,
    Listener,
    Outbound,
)
from sidecar.policy.model import Policy
from sidecar.redirect.doctor.answers import Answers
from sidecar.redirect.doctor.facts import (
    Aim,
    Facts,
    Fate,
    Intent,
    Probe,
    Service,
    Tables,
)
from sidecar.redirect.doctor.processes import Process
from sidecar.redirect.doctor.sockets import LOOPBACK, Socket
from sidecar.redirect.model import Backend, Family, InboundMode, Redirect
from sidecar.redirect.render import NOTHING, transition, wanted
from sidecar.redirect.routing import Routing

NOBODY = Endpoint("0.0.0.0", 0)
TARGETS = {
    Family.IPV4: Endpoint("192.0.2.1", 9),
    Family.IPV6: Endpoint("2001:db8::1", 9),
}
OWN = {
    Family.IPV4: Endpoint("10.0.0.5", 40000),
    Family.IPV6: Endpoint("fd00::5", 40000),
}
SERVICE = Endpoint("10.96.0.1", 443)


def saved(redirect: Redirect, family: Family) -> str:
    """What iptables-save says where these rules are in place."""
    return transition(NOTHING, wanted(redirect, family))


def tables(
    redirect: Redirect, backend: Backend = Backend.NFT, *, empty: bool = False
) -> tuple[Tables, ...]:
    return tuple(
        Tables(backend, family, "" if empty else saved(redirect, family))
        for family in Family
    )


def listener(
    host: str, port: int, uid: int = 1337, waiting: int = 0, inode: int = 0
) -> Socket:
    return Socket(
        Endpoint(host, port), NOBODY, uid, listens=True, waiting=waiting, inode=inode
    )


SOCKETS = (
    listener("127.0.0.1", 15001),
    listener("::1", 15001),
    listener("::", 15006),
    listener("127.0.0.1", 15000),
    listener("::", 15020),
    listener("::", 8080, uid=1000),
)


def accepted(at: Endpoint, uid: int = 1337) -> Socket:
    """The other end of a probe."""
    return Socket(at, Endpoint("10.0.0.5", 50000), uid, arriving=True)


def probe(aim: Aim, family: Family) -> Probe:
    """A probe that ended as it should."""
    target, loopback = TARGETS[family], LOOPBACK[family]
    match aim:
        case Aim.CAPTURED:
            at = accepted(Endpoint(loopback, 15001))
            return Probe(aim, family, target, Fate.ARRIVED, at)
        case Aim.LOOPBACK:
            own = Endpoint(loopback, 40000)
            return Probe(aim, family, own, Fate.ARRIVED, accepted(own, 0))
        case Aim.ANSWER:
            return Probe(aim, family, OWN[family], Fate.ARRIVED)
        case Aim.OWN_ADDRESS:
            own = OWN[family]
            return Probe(aim, family, own, Fate.ARRIVED, accepted(own, 0))
        case _:
            return Probe(aim, family, target, Fate.LEFT)


PROBES = tuple(
    probe(aim, family)
    for family in Family
    for aim in (Aim.CAPTURED, Aim.PROXY, Aim.OWN_ADDRESS, Aim.LOOPBACK)
)
V4_ONLY = (Family.IPV4,)
PROCESSES = (
    Process(1, 0, "pause", 65535, 65535, ("/pause",), "/pause"),
    Process(
        7, 0, "sidecar", 1337, 1337, ("python", "-m", "sidecar", "run"), "/sidecar"
    ),
    Process(9, 0, "server", 1000, 1000, ("/server",), "/application"),
)
CONFIG = Config(
    Identity(),
    inbound=Inbound(listeners=(Listener(Endpoint("::", 15006), "original"),)),
    outbound=Outbound(
        listeners=(
            Listener(Endpoint("127.0.0.1", 15001), "original"),
            Listener(Endpoint("::1", 15001), "original"),
        )
    ),
)
HEALTHY = Facts(
    redirect=Redirect(),
    tables=tables(Redirect()),
    tables_unseen="",
    families=tuple(Family),
    ipv6_interfaces=("eth0",),
    pid=20,
    uid=0,
    gid=0,
    processes=PROCESSES,
    sockets=SOCKETS,
    probes=PROBES,
    services=(Service(SERVICE, SERVICE),),
    intent=Intent(CONFIG, Policy()),
)


TPROXY = evolve(
    HEALTHY,
    redirect=Redirect(inbound_mode=InboundMode.TPROXY),
    tables=tables(Redirect(inbound_mode=InboundMode.TPROXY)),
    probes=(*PROBES, *(probe(Aim.ANSWER, family) for family in Family)),
    sockets=(*SOCKETS[:2], listener("::", 15006, uid=0, inode=5), *SOCKETS[3:]),
    answers=dict.fromkeys(Family, Answers(Routing(rule=True, route=True))),
    transparent=frozenset({5}),
    intent=Intent(
        evolve(
            CONFIG,
            inbound=Inbound(
                listeners=(
                    Listener(Endpoint("::", 15006), "original", transparent=True),
                )
            ),
        ),
        Policy(),
    ),
)
"""The same, with TPROXY, and so with root as the sidecar's user."""


def with_options(redirect: Redirect, facts: Facts = HEALTHY) -> Facts:
    """The same pod, with these options and their rules."""
    return evolve(facts, redirect=redirect, tables=tables(redirect))


def with_rules(facts: Facts, old: str, new: str, family: Family = Family.IPV4) -> Facts:
    """The same pod, with something else in the text of its rules."""
    changed = []
    for each in facts.tables:
        text = each.text
        if each.family is family and text is not None:
            assert old in text
            text = text.replace(old, new)
        changed.append(evolve(each, text=text))
    return evolve(facts, tables=tuple(changed))


def with_probe(probe: Probe, facts: Facts = HEALTHY) -> Facts:
    """The same pod, where one probe ended otherwise."""
    probes = [
        each
        for each in facts.probes
        if (each.aim, each.family) != (probe.aim, probe.family)
    ]
    return evolve(facts, probes=(*probes, probe))
