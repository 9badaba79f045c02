"""The connections that were made, against what had to become of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from sidecar.redirect.doctor.facts import Aim, Fate
from sidecar.redirect.doctor.finding import Check, Finding, Level
from sidecar.redirect.doctor.sockets import LOOPBACK, listeners_at
from sidecar.redirect.model import Family

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.redirect.doctor.facts import Facts, Probe, Service

_SAID: Final = {
    Aim.CAPTURED: "an application's connection",
    Aim.PROXY: "a connection of the sidecar's own user",
    Aim.EXCLUDED: "what the options let by",
    Aim.LOOPBACK: "a connection on loopback",
    Aim.OWN_ADDRESS: "a connection of the pod to itself",
}
_SEE_RULES: Final = (
    "see what is said of the rules; if that is nothing, look for nft rules of others"
    " (`nft list ruleset`) and for programs on the node that take the pod's traffic"
)


def judge_probes(facts: Facts) -> Iterator[Finding]:
    """Judge every connection that was made, and say what none can show."""
    for probe in facts.probes:
        if probe.aim is Aim.CAPTURED:
            yield _capture(probe, facts)
        elif probe.aim is not Aim.ANSWER:  # that is for `judge_answers`
            yield _bypass(probe, facts)
    yield Finding(
        Check.CAPTURE,
        Level.UNTESTED,
        "what comes into the pod cannot be tried from inside it",
        why="only packets from outside meet those rules; whether they are there, and"
        " who listens, is said above",
        remedy="call a strict port in plain from another pod: it must be reset",
    )


def _capture(probe: Probe, facts: Facts) -> Finding:
    family, at = probe.family, probe.at
    finding = partial(Finding, Check.CAPTURE, family=family)
    what = f"{_SAID[probe.aim]} to {probe.target}"
    if probe.fate is Fate.NOWHERE:
        # Of no family: it is none in which something has to be proven.
        return Finding(
            Check.CAPTURE,
            Level.NOTE,
            f"over {family} there is nothing to capture: {probe.why_not}",
        )
    if probe.fate is Fate.UNTRIED:
        return finding(
            Level.UNTESTED,
            f"{_SAID[probe.aim]} was not tried: {probe.why_not}",
            why="whether it is captured is not known",
        )
    if probe.fate is Fate.ARRIVED and at is not None:
        return _captured(
            probe, facts, at.local.port, f"{what} was turned to {at.local}"
        )
    waiting = _waiting(probe, facts)
    if probe.fate is Fate.REFUSED and waiting is None:
        return finding(
            Level.UNTESTED,
            f"{what} was refused, as it is where nobody listens",
            why="whether it was captured is not known",
            remedy="start the sidecar, or let the check stand in: --before-start",
        )
    if probe.fate is Fate.LEFT and waiting:
        return finding(
            Level.UNTESTED,
            f"{what} got no answer, and {waiting} connections wait to be accepted",
            why="the sidecar may have no room for one more: see limits.connections",
        )
    said = {
        Fate.ANSWERED: "was answered from outside the pod",
        Fate.REFUSED: "was refused from elsewhere",
    }
    return finding(
        Level.PROBLEM,
        f"{what} {said.get(probe.fate, 'left the pod')}, and not by the sidecar",
        why="what the application sends goes without mTLS and without policy",
        remedy=_SEE_RULES,
    )


def _captured(probe: Probe, facts: Facts, port: int, what: str) -> Finding:
    finding = partial(Finding, Check.CAPTURE, family=probe.family)
    if port != facts.redirect.outbound_port:
        return finding(
            Level.PROBLEM,
            f"{what}, which is not the sidecar's port {facts.redirect.outbound_port}",
            why="somebody else has the pod's connections",
            remedy=_SEE_RULES,
        )
    if probe.stood_in and probe.original != probe.target:
        return finding(
            Level.PROBLEM,
            f"{what}, and "
            + (
                f"the kernel says that it was going to {probe.original}"
                if probe.original
                else "could not be accepted there, or the kernel does not say where"
                " it was going"
            ),
            why="without its destination (SO_ORIGINAL_DST) the sidecar refuses it",
            remedy="see that no filter rule drops what is on lo; load nf_conntrack and"
            " nf_nat on the node",
        )
    return finding(Level.OK, what)


def _waiting(probe: Probe, facts: Facts) -> int | None:
    """Tell how many wait at the listener; None where there is none."""
    port = facts.redirect.outbound_port
    found = listeners_at(facts.sockets, probe.family, port, outside=False)
    return max((each.waiting for each in found), default=None)


def _bypass(probe: Probe, facts: Facts) -> Finding:
    finding = partial(Finding, Check.BYPASS, family=probe.family)
    said, at = _SAID[probe.aim], probe.at
    if probe.fate is Fate.NOWHERE:
        host = LOOPBACK[probe.family]
        return finding(
            Level.PROBLEM,
            f"the pod has no address {host}",
            why="what is captured is turned to it, and gets nowhere",
            remedy="bring lo up"
            + (
                ", and set net.ipv6.conf.lo.disable_ipv6 to 0, or that of all to 1"
                if probe.family is Family.IPV6
                else ""
            ),
        )
    if probe.fate is Fate.UNTRIED:
        return finding(Level.UNTESTED, f"{said} was not tried: {probe.why_not}")
    what = f"{said} to {probe.target}"
    inside = probe.aim in {Aim.LOOPBACK, Aim.OWN_ADDRESS}
    if at is not None and not (inside and at.local == probe.target):
        why = (
            "it goes in circles, and nothing gets out of the pod"
            if probe.aim is Aim.PROXY
            else "it was meant to go as it is"
        )
        return finding(
            Level.PROBLEM,
            f"{what} was turned to {at.local}",
            why=why,
            remedy=_SEE_RULES,
        )
    if inside:
        if at is not None:
            return finding(Level.OK, f"{what} arrived there")
        return finding(
            Level.PROBLEM,
            f"{what} did not arrive there",
            why="the application cannot reach itself, nor the sidecar its application",
            remedy=f"see that lo is up; {_SEE_RULES}",
        )
    if probe.fate is Fate.REFUSED and _waiting(probe, facts) is None:
        return finding(
            Level.UNTESTED,
            f"{what} was refused, as it is where nobody listens",
            why="whether it went past the sidecar is not known",
            remedy="start the sidecar, or let the check stand in: --before-start",
        )
    return finding(Level.OK, f"{what} went past the sidecar")


def judge_services(facts: Facts) -> Iterator[Finding]:
    """Judge whether a service address is still one when it meets the rules."""
    if not facts.services:
        yield Finding(
            Check.SERVICE,
            Level.UNTESTED,
            "no service address is known, so that none was called",
            why="whether sockets are balanced before the rules see them is not known",
            remedy="name one: --service ADDRESS:PORT",
        )
    for service in facts.services:
        yield _judge_service(service)


def _judge_service(service: Service) -> Finding:
    finding = partial(Finding, Check.SERVICE)
    if service.reached is None:
        return finding(
            Level.UNTESTED, f"{service.called} was not called: {service.why_not}"
        )
    if service.reached == service.called:
        return finding(Level.OK, f"{service.called} keeps its address up to the rules")
    return finding(
        Level.PROBLEM,
        f"a socket for the service {service.called} is one for {service.reached}:"
        " sockets are balanced before any packet is made",
        why="rules, routes and CIDRs that name service addresses never fit, and what"
        " leads back to this pod stays in it, without mTLS",
        remedy="with Cilium set socketLB.hostNamespaceOnly=true; or name the addresses"
        " of pods in routes and CIDRs",
    )
