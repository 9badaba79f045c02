"""What `sidecar check` says to people, as lines for a terminal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from sidecar.config.model import ORIGINAL, MissingCertificate, ProxyProtocol
from sidecar.config.moments import seen_from, stamp
from sidecar.config.problems import ConfigError, headline, listing
from sidecar.policy.model import Default

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator

    from sidecar.config.check import Checked
    from sidecar.config.model import Inbound, Listener, Outbound, Route
    from sidecar.identity.bundle import TrustBundle
    from sidecar.policy.model import Policy

_LISTED: Final = 20
"""How many of a kind a summary names: it is read, not searched."""
_DEFAULTS: Final = {
    Default.DENY: "is refused",
    Default.AUDIT: "passes, and is recorded as what would be refused",
    Default.ALLOW: "passes",
}


_HEADERS: Final = {
    ProxyProtocol.NONE: "",
    ProxyProtocol.ADDRESSES: ", PROXY protocol with addresses",
    ProxyProtocol.TLS: ", PROXY protocol with addresses and TLS",
}


def report_lines(
    source: str, result: Checked | ConfigError, now: dt.datetime
) -> list[str]:
    """Write the result of a check for a terminal.

    Args:
        source: The configuration file, as the operator named it.
        result: What `check` returned or raised.
        now: The moment of the check.

    Returns:
        The problems, or what the configuration comes to and what deserves a word.
    """
    if isinstance(result, ConfigError):
        body = listing(result.problems)
        return [headline(source, result.problems), *(f"  {line}" for line in body)]
    lines, last = [f"{source}: ok"], ""
    for label, text in _rows(result, now):
        lines.append(f"  {'' if label == last else label:<10} {text}")
        last = label
    return [*lines, *(f"  note: {note}" for note in result.notes)]


def _rows(checked: Checked, now: dt.datetime) -> Iterator[tuple[str, str]]:
    config = checked.config
    yield from (("identity", text) for text in _identity(checked, now))
    if config.inbound.listeners:
        yield from (("inbound", text) for text in _inbound(config.inbound))
        yield "policy", f"{config.policy}: {_policy(checked.policy)}"
    if config.outbound.listeners:
        yield from (("outbound", text) for text in _outbound(config.outbound))
    yield "admin", str(config.admin)
    yield "telemetry", str(config.telemetry)


def _identity(checked: Checked, now: dt.datetime) -> Iterator[str]:
    material, identity = checked.material, checked.config.identity
    if material is None:
        which = "" if identity.hint is None else f" with the hint {identity.hint!r}"
        yield f"the SVID{which} of {identity.workload_api}, which is not asked now"
        for name, each in identity.additional.items():
            yield f"and as {name}: the SVID with the hint {each.hint!r}"
        return
    end = material.svid.not_valid_after
    yield str(material.svid.name)
    yield f"expires {stamp(end)}, {seen_from(end, now)}"
    for name, svid in material.additional.items():
        end = svid.not_valid_after
        yield f"and as {name}: {svid.name}, expires {stamp(end)}, {seen_from(end, now)}"
    if material.bundles:
        yield f"trust domains: {_some(map(_bundle, material.bundles.values()))}"
    if material.name_roots:
        kinds = sorted(kind for kind in material.accept if kind != "spiffe")
        yield f"peers by {' and '.join(kinds)}: {_count(material.name_roots, 'root')}"


def _bundle(bundle: TrustBundle) -> str:
    facts = [] if bundle.roots else ["nothing of it is trusted"]
    if bundle.sequence is not None:
        facts.append(f"sequence {bundle.sequence}")
    if bundle.refresh_hint is not None:
        facts.append(f"refresh hint {bundle.refresh_hint} s")
    return (
        f"{bundle.trust_domain} ({', '.join(facts)})" if facts else bundle.trust_domain
    )


def _inbound(inbound: Inbound) -> Iterator[str]:
    for listener in inbound.listeners:
        goal = listener.destination
        mode = inbound.mode if goal == ORIGINAL else inbound.mode_of(goal.port)
        yield f"{_ways(listener)}, {mode}"
    for port in sorted(inbound.ports):
        missing = inbound.missing_certificate(port) is MissingCertificate.HTTP_400
        told = ", HTTP 400 without a certificate" if missing else ""
        header = _HEADERS[inbound.proxy_protocol(port)]
        own = inbound.identity_of(port)
        shown = "" if own is None else f", as {own}"
        yield f"port {port}: {inbound.mode_of(port)}{told}{header}{shown}"


def _policy(policy: Policy) -> str:
    fate = _DEFAULTS[policy.default]
    if not policy.rules:
        return f"no rules, everything {fate}"
    actions = Counter(str(rule.action) for rule in policy.rules)
    kinds = [f"{count} {action}" for action, count in sorted(actions.items())]
    if dry := sum(rule.dry_run for rule in policy.rules):
        kinds.append(f"{dry} of them dry run")
    return f"{_count(policy.rules, 'rule')} ({', '.join(kinds)}), anything else {fate}"


def _outbound(outbound: Outbound) -> Iterator[str]:
    yield from map(_ways, outbound.listeners)
    yield from map(_route, outbound.routes[:_LISTED])
    if len(outbound.routes) > _LISTED:
        yield f"and {len(outbound.routes) - _LISTED} routes more"
    yield f"anything else: {outbound.default}"


def _route(route: Route) -> str:
    ports = "" if route.ports is None else f" port {_some(sorted(route.ports))}"
    peers = f", answered by {_some(route.peers)}" if route.peers else ""
    own = "" if route.identity is None else f", as {route.identity}"
    return f"{route.name}: {route.mode} to {_some(route.to)}{ports}{peers}{own}"


def _ways(listener: Listener) -> str:
    goal = listener.destination
    seen = ", as the caller" if listener.transparent else ""
    to = f"where it was going{seen}" if goal == ORIGINAL else goal
    return f"{listener.listen} to {to}"


def _some(things: Iterable[object]) -> str:
    names = [str(thing) for thing in things]
    more = [f"{len(names) - _LISTED} more"] if len(names) > _LISTED else []
    return ", ".join(names[:_LISTED] + more)


def _count(things: tuple[object, ...], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
