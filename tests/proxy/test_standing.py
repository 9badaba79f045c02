from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from sidecar.config.model import (
    Endpoint,
    Inbound,
    Mode,
    Outbound,
    OutboundDefault,
    Route,
    RouteMode,
)
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.compile import compile_policy
from sidecar.policy.model import Action, Default, Policy, Rule
from sidecar.policy.pattern import parse_pattern
from sidecar.proxy.plan import OwnEndpoints
from sidecar.proxy.routes import RouteTable
from sidecar.proxy.standing import Lapse, Live, Rules, lapse_of
from sidecar.telemetry.labels import Direction, Outcome, Reason
from sidecar.tls.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

CART = "spiffe://example.org/ns/shop/sa/cart"
API = "spiffe://example.org/ns/shop/sa/api"
DESTINATION = Endpoint("10.0.0.7", 8080)

US = SpiffeId.parse("spiffe://example.org/ns/shop/sa/us")

INBOUND = Live(
    Direction.INBOUND,
    DESTINATION,
    Endpoint("10.0.0.1", 4711),
    "callers",
    SpiffeId.parse(CART),
    US,
)
PLAIN = evolve(INBOUND, peer=None, identity=None)
OUTBOUND = Live(
    Direction.OUTBOUND,
    DESTINATION,
    Endpoint("127.0.0.1", 4711),
    "api",
    SpiffeId.parse(API),
    US,
)


def rule(action: str, *peers: str, name: str = "callers", **scope: object) -> Rule:
    patterns = tuple(map(parse_pattern, peers))
    return Rule(name, Action(action), patterns, **scope)  # type: ignore[arg-type]


def rules(
    *listed: Rule,
    default: str = "deny",
    inbound: Inbound | None = None,
    outbound: Outbound | None = None,
    names: Mapping[str, tuple[str, ...]] | None = None,
    own: OwnEndpoints | None = None,
    ours: bool = True,
) -> Rules:
    known = names or {}
    return Rules(
        inbound or Inbound(),
        compile_policy(Policy(Default(default), listed)),
        RouteTable(outbound or Outbound(), lambda name: known.get(name, ())),
        own or OwnEndpoints((), lambda _: True),
        lambda host: known.get(host, (host,)),
        lambda name: ours and name == US,
    )


# --- Inbound


@pytest.mark.parametrize(
    "now",
    [
        rules(rule("allow", CART)),
        rules(rule("allow", CART, ports=frozenset({8080}))),
        rules(rule("allow", CART, sources=(ipaddress.ip_network("10.0.0.0/24"),))),
        rules(default="allow"),
        rules(default="audit"),
        rules(rule("allow", CART), rule("deny", CART, name="trial", dry_run=True)),
        rules(rule("allow", CART), inbound=Inbound(mode=Mode.DISABLED)),
        rules(rule("allow", CART), inbound=Inbound(mode=Mode.PERMISSIVE)),
    ],
)
def test_who_would_be_let_in_stays(now: Rules) -> None:
    assert lapse_of(INBOUND, now) is None


@pytest.mark.parametrize(
    ("now", "detail"),
    [
        (
            rules(rule("allow", CART), rule("deny", CART, name="no-cart")),
            "denied by the rule 'no-cart' now",
        ),
        (rules(), "no rule allows anything"),
        (rules(rule("allow", API)), None),
        (rules(rule("allow", CART, ports=frozenset({9090}))), None),
        (
            rules(rule("allow", CART, sources=(ipaddress.ip_network("10.9.0.0/16"),))),
            None,
        ),
        (rules(rule("allow", CART, dry_run=True)), None),
        (rules(rule("allow", "unauthenticated")), None),
    ],
)
def test_whom_the_policy_does_not_admit_any_more_is_ended(
    now: Rules, detail: str | None
) -> None:
    lapse = lapse_of(INBOUND, now)
    assert lapse is not None
    assert (lapse.outcome, lapse.reason) == (Outcome.POLICY_REVOKED, Reason.OK)
    assert lapse.detail
    assert detail is None or lapse.detail == detail


@pytest.mark.parametrize("mode", [Mode.PERMISSIVE, Mode.DISABLED])
def test_plaintext_stays_while_its_port_takes_it(mode: Mode) -> None:
    now = rules(rule("allow", "unauthenticated"), inbound=Inbound(mode=mode))
    assert lapse_of(PLAIN, now) is None
    denied = rules(rule("allow", CART), inbound=Inbound(mode=mode))
    lapse = lapse_of(PLAIN, denied)
    assert lapse is not None
    assert lapse.outcome is Outcome.POLICY_REVOKED


def test_plaintext_ends_when_its_port_becomes_strict() -> None:
    assert lapse_of(PLAIN, rules(rule("allow", "unauthenticated"))) == Lapse(
        Outcome.POLICY_REVOKED, "port 8080 takes no plaintext any more"
    )


def test_what_leads_to_ourselves_by_now_is_ended() -> None:
    own = OwnEndpoints((DESTINATION,), lambda _: True)
    lapse = lapse_of(INBOUND, rules(default="allow", own=own))
    assert lapse is not None
    assert lapse.outcome is Outcome.POLICY_REVOKED


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (Reason.EXPIRED, Outcome.PEER_EXPIRED),
        (Reason.REVOKED, Outcome.PEER_REVOKED),
        (Reason.UNTRUSTED_CHAIN, Outcome.PEER_UNTRUSTED),
        (Reason.UNKNOWN_TRUST_DOMAIN, Outcome.BUNDLE_WITHDRAWN),
        (Reason.NOT_YET_VALID, Outcome.PEER_UNTRUSTED),
        (Reason.NOT_AN_SVID, Outcome.PEER_UNTRUSTED),
    ],
)
@pytest.mark.parametrize("live", [INBOUND, OUTBOUND])
def test_whom_we_trust_no_more_is_ended_whatever_the_policy_says(
    live: Live, reason: Reason, outcome: Outcome
) -> None:
    refused = evolve(live, peer=Refusal(reason, "why", 1))
    assert lapse_of(refused, rules(default="allow")) == Lapse(outcome, "why", reason)


@pytest.mark.parametrize("live", [INBOUND, OUTBOUND])
def test_what_was_made_with_an_identity_that_is_not_ours_any_more_is_ended(
    live: Live,
) -> None:
    now = rules(default="allow", ours=False)
    assert lapse_of(live, now) == Lapse(
        Outcome.IDENTITY_WITHDRAWN,
        f"{US}, which we were to the peer, was taken from us",
        Reason.NO_IDENTITY,
    )


def test_plaintext_needs_no_identity_of_ours() -> None:
    inbound = Inbound(mode=Mode.DISABLED)
    now = rules(default="allow", inbound=inbound, ours=False)
    assert lapse_of(PLAIN, now) is None


# --- Outbound


def to_api(
    *peers: str, name: str = "api", mode: str = "mtls", to: str = "10.0.0.0/8"
) -> Route:
    where = to if to[0].isalpha() else ipaddress.ip_network(to)
    patterns = tuple(map(parse_pattern, peers))
    return Route(name, (where,), None, RouteMode(mode), patterns)


@pytest.mark.parametrize(
    "outbound",
    [
        Outbound(routes=(to_api(API),)),
        Outbound(routes=(to_api(API, name="renamed"),)),
        Outbound(routes=(to_api(mode="plaintext"),)),
        Outbound(default=OutboundDefault.PLAINTEXT),
    ],
)
def test_a_server_that_a_route_still_expects_stays(outbound: Outbound) -> None:
    assert lapse_of(OUTBOUND, rules(outbound=outbound)) is None


@pytest.mark.parametrize(
    ("outbound", "reason", "detail"),
    [
        (Outbound(), Reason.OK, "no route leads to 10.0.0.7:8080"),
        (
            Outbound(routes=(to_api(mode="deny"), to_api(API, name="late"))),
            Reason.OK,
            "the route 'api' denies 10.0.0.7:8080",
        ),
        (
            Outbound(routes=(to_api(CART),)),
            Reason.UNEXPECTED_PEER,
            f"{API} is not one of the peers of the route 'api' any more",
        ),
    ],
)
def test_a_server_that_no_route_expects_any_more_is_ended(
    outbound: Outbound, reason: Reason, detail: str
) -> None:
    lapse = lapse_of(OUTBOUND, rules(outbound=outbound))
    assert lapse is not None
    assert (lapse.outcome, lapse.reason) == (Outcome.POLICY_REVOKED, reason)
    assert lapse.detail.startswith(detail)


def test_plaintext_ends_when_its_route_asks_for_mutual_tls() -> None:
    live = evolve(OUTBOUND, peer=None, identity=None)
    assert lapse_of(live, rules(outbound=Outbound(routes=(to_api(API),)))) == Lapse(
        Outcome.POLICY_REVOKED, "the route 'api' asks for mutual TLS now"
    )


@pytest.mark.parametrize(
    "others",
    [(), (to_api(name="rest", mode="deny"),)],
    ids=["no route leads there now", "another would"],
)
def test_a_host_name_that_has_moved_ends_nothing(others: tuple[Route, ...]) -> None:
    """A new connection to the old address would be refused; this one was none."""
    routes = (to_api(API, to="api.shop"), *others)
    moved = {"api.shop": ("10.0.0.8",)}
    now = rules(outbound=Outbound(routes=routes), names=moved)
    assert lapse_of(OUTBOUND, now) is None
    stranger = evolve(OUTBOUND, rule="another")
    assert lapse_of(stranger, now) is not None


def test_a_route_before_its_own_decides_all_the_same() -> None:
    routes = (to_api(name="first", mode="deny"), to_api(API, to="api.shop"))
    moved = {"api.shop": ("10.0.0.8",)}
    now = rules(outbound=Outbound(routes=routes), names=moved)
    lapse = lapse_of(OUTBOUND, now)
    assert lapse is not None
    assert lapse.detail == "the route 'first' denies 10.0.0.7:8080"
