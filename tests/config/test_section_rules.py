from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config.model import (
    Identity,
    NameKind,
    Outbound,
    Route,
    RouteMode,
)
from sidecar.config.place import Index, written
from sidecar.config.section_rules import (
    check_identity,
    check_outbound,
    check_route,
    unique_names,
)
from sidecar.policy.pattern import Unauthenticated, parse_pattern

FILE = Path("file")
SPIFFE, DNS, SUBJECT = NameKind
BUNDLES = {"example.org": FILE}
API = parse_pattern("spiffe://example.org/ns/shop/sa/api")


@pytest.mark.parametrize(
    "identity",
    [
        Identity(FILE, FILE, BUNDLES),
        Identity(FILE, FILE, accept=frozenset({DNS}), name_bundle=FILE),
        Identity(FILE, FILE, BUNDLES, accept=frozenset(NameKind), name_bundle=FILE),
        Identity(),
        Identity(workload_api="unix:///s", hint="a"),
        Identity(
            workload_api="unix:///s",
            accept=frozenset({SPIFFE, SUBJECT}),
            name_bundle=FILE,
        ),
    ],
)
def test_an_identity_of_one_source_is_fine(identity: Identity) -> None:
    assert list(check_identity(identity)) == []


@pytest.mark.parametrize(
    ("identity", "places"),
    [
        (Identity(FILE, FILE, BUNDLES, hint="a"), ["hint"]),
        (Identity(private_key=FILE), ["certificate_chain", "trust_bundles"]),
        (Identity(certificate_chain=FILE), ["private_key", "trust_bundles"]),
        (Identity(trust_bundles=BUNDLES), ["certificate_chain", "private_key"]),
        (Identity(FILE, FILE), ["trust_bundles"]),
        (Identity(FILE, FILE, BUNDLES, "unix:///s"), ["workload_api"]),
        (Identity(FILE, FILE, BUNDLES, name_bundle=FILE), ["name_bundle"]),
        (Identity(FILE, FILE, BUNDLES, accept=frozenset({DNS})), ["name_bundle"]),
        (Identity(accept=frozenset({DNS})), ["name_bundle"]),
    ],
)
def test_an_identity_at_odds_with_itself_is_found(
    identity: Identity, places: list[str]
) -> None:
    assert [written(finding.place) for finding in check_identity(identity)] == places


@pytest.mark.parametrize(
    ("route", "lines"),
    [
        (Route("a", ("x",), peers=(API,)), []),
        (Route("a", ("x",), mode=RouteMode.DENY), []),
        (Route("a", ("x",), mode=RouteMode.PLAINTEXT), []),
        (
            Route("a", ("x",)),
            [
                "peers: expected at least one peer that may answer, got none "
                "(mode 'mtls' trusts nobody by default)"
            ],
        ),
        (
            Route("a", ("x",), mode=RouteMode.PLAINTEXT, peers=(API,)),
            [
                "peers: nobody is checked in mode 'plaintext' "
                "(remove peers, or write mode 'mtls')"
            ],
        ),
        (
            Route("a", ("x",), peers=(API, Unauthenticated())),
            ["peers[1]: a server always shows a certificate, got 'unauthenticated'"],
        ),
    ],
)
def test_a_route_says_who_answers_exactly_when_it_is_checked(
    route: Route, lines: list[str]
) -> None:
    found = [f"{written(each.place)}: {each.what}" for each in check_route(route)]
    assert found == lines


def test_every_later_item_of_a_name_points_at_the_first() -> None:
    found = list(unique_names(["a", "b", "a", "a"], "rules"))
    assert [finding.place for finding in found] == [
        ("rules", Index(2), "name"),
        ("rules", Index(3), "name"),
    ]
    assert {f.what for f in found} == {"duplicate name 'a', first at rules[0].name"}


def test_routes_have_names_of_their_own() -> None:
    routes = (Route("a", ("x",)), Route("a", ("y",)))
    (finding,) = check_outbound(Outbound(routes=routes))
    assert finding.what == "duplicate name 'a', first at routes[0].name"
