from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.config.model import Endpoint
from sidecar.config.place import Invalid
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.evaluate import Verdict
from sidecar.policytools.cases import Case, RouteCase, RouteExpectation
from sidecar.policytools.claim import try_call, try_route
from sidecar.telemetry.labels import Reason
from tests.policy.test_evaluate import lines_of
from tests.policytools.books import CART, FRONTEND, of_files, of_text
from tests.policytools.test_inbound import of_workloads
from tests.policytools.test_way_text import book

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sidecar.policytools.rulebook import Rulebook

ALLOW, DENY, AUDIT = Verdict.ALLOW, Verdict.DENY, Verdict.AUDIT
MTLS, PLAINTEXT = RouteExpectation.MTLS, RouteExpectation.PLAINTEXT
REFUSED = RouteExpectation.DENY
ROUTED, _CONFIG = book()
API = SpiffeId.parse("spiffe://example.org/api")
OTHER = SpiffeId.parse(CART)


def wrong(
    made: Rulebook, peer: str | None, expect: Verdict, port: int = 8080, **keys: Any
) -> str | None:
    who = peer and SpiffeId.parse(peer)
    return try_call(Case("x", who or None, port, expect, **keys), made)[1]


def test_a_case_that_holds_has_nothing_wrong() -> None:
    assert wrong(of_text(), FRONTEND, ALLOW) is None
    assert wrong(of_text(), FRONTEND, ALLOW, rule="frontend-calls-api") is None
    assert wrong(of_text(), CART, DENY, port=1, rule="default") is None


@pytest.mark.parametrize(
    ("expect", "rule", "wanted"),
    [
        (DENY, None, "deny"),
        (ALLOW, "prometheus", "allow by rule 'prometheus'"),
        (AUDIT, "default", "audit by default"),
    ],
)
def test_a_case_that_does_not_says_what_was_expected_and_what_is(
    expect: Verdict, rule: str | None, wanted: str
) -> None:
    found = "allow by rule 'frontend-calls-api'"
    said = wrong(of_text(), FRONTEND, expect, rule=rule)
    assert said == f"expected {wanted}, got {found}"


def test_a_handshake_that_fails_is_a_denial_with_its_reason(tmp_path: Path) -> None:
    strict = of_files(tmp_path)
    for reason in (None, Reason.NO_CERTIFICATE, Reason.PLAINTEXT):
        assert wrong(strict, None, DENY, reason=reason) is None
    found = "got deny in the handshake (no_certificate or plaintext)"
    assert wrong(strict, None, DENY, reason=Reason.EXPIRED) == (
        f"expected deny in the handshake (expired), {found}"
    )
    assert wrong(strict, None, DENY, rule="default") == (
        f"expected deny by default, {found}"
    )
    assert wrong(strict, None, ALLOW) == f"expected allow, {found}"
    assert wrong(of_text(), CART, DENY, reason=Reason.EXPIRED) == (
        "expected deny in the handshake (expired), got deny by default"
    )


def way(host: str, expect: RouteExpectation, port: int = 80, **keys: Any) -> str | None:
    return try_route(RouteCase("x", Endpoint(host, port), expect, **keys), ROUTED)[1]


def test_a_way_that_is_taken_as_claimed_has_nothing_wrong() -> None:
    assert way("api.test", MTLS) is None
    assert way("api.test", MTLS, peer=API, route="api") is None
    assert way("10.0.0.1", PLAINTEXT, route="old") is None
    assert way("192.0.2.1", REFUSED, route="no") is None
    assert way("203.0.113.1", REFUSED, route="default") is None
    refused: dict[str, Any] = {
        "peer": OTHER,
        "reason": Reason.UNEXPECTED_PEER,
        "route": "api",
    }
    assert way("api.test", REFUSED, **refused) is None


def test_every_address_of_a_name_has_to_go_that_way() -> None:
    both = {"api.test": ("198.51.100.1", "10.0.0.1")}
    assert way("api.test", MTLS, resolve=both) is None
    other = {"other.test": ("10.0.0.1", "192.0.2.1")}
    assert way("other.test", PLAINTEXT, resolve=other) == (
        "expected plaintext, got deny by route 'no'"
    )


@pytest.mark.parametrize(
    ("host", "expect", "keys", "said"),
    [
        ("10.0.0.1", MTLS, {}, "expected mtls, got plaintext by route 'old'"),
        (
            "203.0.113.1",
            PLAINTEXT,
            {"route": "old"},
            "expected plaintext by route 'old', got deny by default",
        ),
        (
            "api.test",
            MTLS,
            {"peer": OTHER},
            "expected mtls, got deny in the handshake (unexpected_peer)",
        ),
        (
            "api.test",
            REFUSED,
            {"peer": OTHER, "reason": Reason.EXPIRED},
            "expected deny in the handshake (expired), got deny in the handshake "
            "(unexpected_peer)",
        ),
        (
            "192.0.2.1",
            REFUSED,
            {"reason": Reason.EXPIRED},
            "expected deny in the handshake (expired), got deny by route 'no'",
        ),
    ],
)
def test_another_way_is_told_beside_the_one_that_was_claimed(
    host: str, expect: RouteExpectation, keys: dict[str, Any], said: str
) -> None:
    assert way(host, expect, **keys) == said


def untried(attempt: Callable[[], object]) -> list[str]:
    with pytest.raises(Invalid) as raised:
        attempt()
    return [each.what for each in raised.value.findings]


def test_what_cannot_be_tried_is_told_why() -> None:
    unsourced = Case("x", None, 9090, ALLOW, rule="promtheus")
    assert untried(partial(try_call, unsourced, of_text())) == [
        "policy.yaml has no rule of that name, got 'promtheus' (did you mean "
        "'prometheus'?)",
        "missing: rule 'prometheus' (policy.yaml:7) asks where it comes from",
    ]
    unknown = Case("x", None, 1, ALLOW, rule="prometheus2")
    assert untried(partial(try_call, unknown, of_text()))[0].startswith(
        "policy.yaml has no rule"
    )
    to = Endpoint("api.test", 80)
    assert untried(
        partial(try_route, RouteCase("x", to, MTLS, route="apis"), ROUTED)
    ) == ["sidecar.yaml has no route of that name, got 'apis' (did you mean 'api'?)"]
    assert untried(partial(try_route, RouteCase("x", to, MTLS), of_text())) == [
        "routes are in sidecar.yaml, and policy.yaml is a policy (name the "
        "configuration: config)"
    ]


def test_of_very_many_rules_none_is_guessed() -> None:
    case = Case("x", OTHER, 80, DENY, rule="r")
    (said,) = untried(partial(try_call, case, of_workloads(2_001)))
    assert said == "policy.yaml has no rule of that name, got 'r'"


def test_a_case_costs_the_same_however_many_rules_there_are() -> None:
    case = Case("x", OTHER, 80, DENY, rule="default")

    def cost(count: int) -> int:
        made = of_workloads(count)
        try_call(case, made)  # what is made once, when it is first asked for
        return lines_of(partial(try_call, case, made))

    assert cost(10) == cost(1_000)
