from __future__ import annotations

import pytest
from attrs import evolve

from sidecar.config.address import parse_listen, parse_target
from sidecar.config.model import (
    Config,
    Identity,
    Listener,
    Outbound,
    OutboundDefault,
    Route,
    RouteMode,
)
from sidecar.config.place import Index, written
from sidecar.config.route_order import fixed_without_route, hidden_routes
from sidecar.config.section_values import parse_goal


def routes(texts: list[str]) -> tuple[Route, ...]:
    """Read routes written as ``TARGET TARGET : PORT PORT``."""
    parts = [text.partition(" : ") for text in texts]
    return tuple(
        Route(
            name=str(at),
            to=tuple(map(parse_target, targets.split())),
            ports=frozenset(map(int, ports.split())) if ports else None,
            mode=RouteMode.DENY,
        )
        for at, (targets, _, ports) in enumerate(parts)
    )


def hidden(texts: list[str]) -> list[tuple[int, int]]:
    """The routes that are never taken, each with the one that is in the way."""
    config = Config(Identity(), outbound=Outbound(routes=routes(texts)))
    pairs = []
    for finding in hidden_routes(config):
        before = int(finding.what.partition("[")[2].partition("]")[0])
        index = finding.place[2]
        assert isinstance(index, Index)
        pairs.append((index.at, before))
    return pairs


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["10.0.0.0/8"],
        ["10.0.0.0/8", "11.0.0.0/8", "::/0"],
        ["10.1.0.0/16", "10.0.0.0/8"],
        ["10.0.0.0/8 : 80", "10.0.0.0/8"],
        ["10.0.0.0/8 : 80", "10.0.0.0/8 : 80 81"],
        ["10.0.0.0/8", "10.1.0.0/16 a.test"],
        ["a.test", "b.test"],
        # A name may have addresses of both families.
        ["0.0.0.0/0", "a.test"],
        ["::/0", "10.0.0.1"],
        # Only together do the first two cover the third.
        ["10.0.0.0/9", "10.128.0.0/9", "10.0.0.0/8"],
    ],
)
def test_a_route_that_may_be_taken_gets_no_note(texts: list[str]) -> None:
    assert hidden(texts) == []


@pytest.mark.parametrize(
    ("texts", "pairs"),
    [
        (["10.0.0.0/8", "10.0.0.0/8"], [(1, 0)]),
        (["10.0.0.0/8", "10.1.2.3"], [(1, 0)]),
        (["0.0.0.0/0 ::/0", "a.test 10.0.0.1 ::1 : 80"], [(1, 0)]),
        (["10.0.0.0/8 : 80 81", "10.1.0.0/16 : 81"], [(1, 0)]),
        (["x.test", "10.0.0.0/8", "10.1.0.0/16", "x.test"], [(2, 1), (3, 0)]),
        (["2001:db8::/32", "2001:db8::1"], [(1, 0)]),
    ],
)
def test_a_route_behind_a_wider_one_is_never_taken(
    texts: list[str], pairs: list[tuple[int, int]]
) -> None:
    assert hidden(texts) == pairs


def test_the_note_says_who_is_in_the_way() -> None:
    config = Config(Identity(), outbound=Outbound(routes=routes(["a.test"] * 2)))
    (finding,) = hidden_routes(config)
    assert written(finding.place) == "outbound.routes[1]"
    assert finding.what == "never taken: routes[0] has all of it and comes first"


def fixed(goal: str, texts: list[str]) -> Config:
    listener = Listener(parse_listen("127.0.0.1:9000"), parse_goal(goal))
    return Config(Identity(), outbound=Outbound((listener,), routes=routes(texts)))


@pytest.mark.parametrize(
    ("goal", "texts"),
    [
        ("original", []),
        ("10.0.0.1:80", ["10.0.0.0/8"]),
        ("10.0.0.1:80", ["10.0.0.0/8 : 81", "10.0.0.0/8 : 80"]),
        ("[2001:db8::1]:80", ["2001:db8::/32"]),
        ("api.test:80", ["api.test : 80"]),
        # What a name resolves to is not known here.
        ("api.test:80", ["10.0.0.0/8"]),
        ("10.0.0.1:80", ["api.test"]),
    ],
)
def test_a_fixed_destination_that_may_have_a_route_gets_no_note(
    goal: str, texts: list[str]
) -> None:
    assert list(fixed_without_route(fixed(goal, texts))) == []


@pytest.mark.parametrize(
    ("goal", "texts"),
    [
        ("10.0.0.1:80", []),
        ("10.0.0.1:80", ["11.0.0.0/8"]),
        ("10.0.0.1:80", ["::/0"]),
        ("10.0.0.1:80", ["10.0.0.0/8 : 81"]),
        ("[::1]:80", ["10.0.0.0/8"]),
        ("api.test:80", ["other.test"]),
        ("api.test:80", ["api.test : 81"]),
    ],
)
def test_a_fixed_destination_without_a_route_is_always_refused(
    goal: str, texts: list[str]
) -> None:
    config = fixed(goal, texts)
    (finding,) = fixed_without_route(config)
    assert written(finding.place) == "outbound.listeners[0].destination"
    assert finding.what == (
        f"always refused: no route has {goal}, and outbound.default is deny"
    )
    plain = evolve(config.outbound, default=OutboundDefault.PLAINTEXT)
    assert list(fixed_without_route(evolve(config, outbound=plain))) == []
