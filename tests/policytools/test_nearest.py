from __future__ import annotations

from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.model import Action, Policy, Rule
from sidecar.policy.pattern import parse_pattern
from sidecar.policytools.entry import Call
from sidecar.policytools.inbound import Effect, Said, every_rule, judge
from sidecar.policytools.nearest import SHOWN, nearest
from tests.policytools.books import CART, FRONTEND, of_values


def said_of(*peers: str, action: Action = Action.ALLOW) -> list[Said]:
    rules = (
        Rule(f"r{n}", action, (parse_pattern(peer),)) for n, peer in enumerate(peers)
    )
    book = of_values(Policy(rules=tuple(rules)))
    return every_rule(book, judge(book, Call(SpiffeId.parse(CART), 1)))


def numbers(found: list[Said]) -> list[int]:
    return [each.statement.number for each in found]


def test_a_short_policy_is_shown_whole_and_in_its_order() -> None:
    said = said_of(*[FRONTEND] * SHOWN)
    assert nearest(said) == said


def test_of_a_long_one_the_nearest_are_shown_in_its_order() -> None:
    far = ["spiffe://other.test/a"] * 20
    said = said_of(*far, FRONTEND, *far, CART)
    assert numbers(nearest(said, 3)) == [0, 20, 41]


def test_the_rule_that_decides_is_shown_however_many_match() -> None:
    said = said_of(*[CART] * 20)
    assert numbers(nearest(said, 3)) == [0, 1, 2]
    deciding = nearest([*reversed(said)], 1)
    assert [each.effect for each in deciding] == [Effect.DECIDES]


def test_all_of_them_may_be_asked_for() -> None:
    said = said_of(*[FRONTEND] * 50)
    assert nearest(said, None) == said
