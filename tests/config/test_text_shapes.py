"""Held against the parsers: what these take, the shapes take, too."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from sidecar.config import text_shapes
from sidecar.config.address import parse_listen, parse_network, parse_target
from sidecar.config.section_values import (
    parse_admin,
    parse_goal,
    parse_group,
    parse_workload_api,
)
from sidecar.identity.spiffe_id import parse_trust_domain
from sidecar.policy.pattern import parse_pattern

if TYPE_CHECKING:
    from sidecar.config.shape import Shape

Parse = Callable[[str], Any]

PARSERS: list[tuple[Parse, Shape]] = [
    (parse_listen, text_shapes.LISTEN),
    (parse_goal, text_shapes.GOAL),
    (parse_admin, text_shapes.ADMIN),
    (parse_network, text_shapes.NETWORK),
    (parse_target, text_shapes.TARGET),
    (parse_trust_domain, text_shapes.TRUST_DOMAIN),
    (parse_pattern, text_shapes.PEER),
    (parse_workload_api, text_shapes.WORKLOAD_API),
    (parse_group, text_shapes.GROUP),
]

PIECES = st.sampled_from(
    [
        *(
            "spiffe://",
            "dns:",
            "subject:",
            "OU=",
            "unauthenticated",
            "unix:",
            "original",
        ),
        *(
            "example.org",
            "Web-1",
            "_x",
            "*",
            "**",
            "*.",
            "/",
            ":",
            "[::1]",
            "fd00::",
            ".",
        ),
        *("10.0.0.0", "127.0.0.1", "0", "8", "80", "65535", "65536", "\n", "K", " "),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=6).map("".join))


@given(TEXTS)
def test_what_a_parser_takes_its_shape_takes(text: str) -> None:
    for parse, shape in PARSERS:
        try:
            parse(text)
        except ValueError:
            continue
        assert takes(shape, text), f"{parse.__name__} takes {text!r}"


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (text_shapes.PEER, "spiffe://example.org/ns/shop/sa/*"),
        (text_shapes.PEER, "spiffe://example.org/ns/**"),
        (text_shapes.PEER, "dns:*.example.org"),
        (text_shapes.PEER, "subject:OU=web,O=Example Ltd"),
        (text_shapes.PEER, "unauthenticated"),
        (text_shapes.PORT, "65535"),
        (text_shapes.LISTEN, "[::]:15006"),
        (text_shapes.LISTEN, "0.0.0.0:0"),
        (text_shapes.GOAL, "api.shop.svc:65535"),
        (text_shapes.GOAL, "original"),
        (text_shapes.TARGET, "fd00::/8"),
        (text_shapes.ADMIN, "unix:/run/sidecar/admin.sock"),
    ],
)
def test_a_shape_takes_what_operators_write(shape: Shape, text: str) -> None:
    assert takes(shape, text)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (text_shapes.PEER, "spife://example.org/ns/shop/sa/api"),
        (text_shapes.PEER, "spiffe://example.org"),
        (text_shapes.PEER, "spiffe://*/ns/shop"),
        (text_shapes.PEER, "Unauthenticated"),
        (text_shapes.PORT, "65536"),
        (text_shapes.PORT, "080"),
        (text_shapes.LISTEN, "0.0.0.0:65536"),
        (text_shapes.LISTEN, "15006"),
        (text_shapes.GOAL, "api.shop.svc:0"),
        (text_shapes.GOAL, "orignal"),
        (text_shapes.TARGET, "*.example.org"),
        (text_shapes.NETWORK, "everywhere"),
        (text_shapes.TRUST_DOMAIN, "Example.org"),
    ],
)
def test_a_shape_refuses_what_is_misspelled(shape: Shape, text: str) -> None:
    assert not takes(shape, text)


def takes(shape: Shape, text: str) -> bool:
    # As JSON Schema has it (validation, 6.3.3): anchored only where it says so.
    found = re.search(shape["pattern"], text)
    return found is not None and found.end() == len(text)
