from __future__ import annotations

import contextlib
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.config.model import Endpoint
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policytools.question import (
    Asked,
    Question,
    QuestionError,
    View,
    Way,
    parse_question,
    parse_view,
    parse_way,
)
from tests.policytools.books import CART

PEER = SpiffeId.parse(CART)


def problems(**given: Any) -> tuple[str, ...]:
    with pytest.raises(QuestionError) as raised:
        parse_question(Asked(**given))
    assert str(raised.value) == "\n".join(raised.value.problems)
    return raised.value.problems


def test_a_question_is_peer_port_and_source() -> None:
    asked = Asked(peers=(CART,), port="8080", source="2001:db8::1")
    expected = Question(PEER, 8080, ip_address("2001:db8::1"))
    assert parse_question(asked) == expected
    path = Asked(peers=("ns/shop/sa/cart",), trust_domain="example.org", port="1")
    assert parse_question(path) == Question(PEER, 1, None)


def test_nobody_and_a_certificate_are_peers_that_are_not_named() -> None:
    for asked in (
        Asked(unauthenticated=True, port="65535"),
        Asked(certificate=True, port="65535"),
    ):
        assert parse_question(asked) == Question(None, 65535, None)


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert problems(trust_domain="A", port="0", source="10.0.0") == (
        "expected one of --peer, --certificate and --unauthenticated to say who "
        "connects, got none",
        "--trust-domain: is that of a --peer, got none",
        "--trust-domain: trust domain must be of a-z, 0-9, '.', '-' and '_', got 'A'",
        "--port: expected a whole number from 1 to 65535, got '0'",
        "--source: expected an IP address, got '10.0.0'",
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"peers": ("x",), "unauthenticated": True, "port": "1"},
            "got --peer and --unauthenticated",
        ),
        ({"peers": ("x",), "port": "1"}, "--peer: must start with 'spiffe://'"),
        ({"unauthenticated": True}, "--port: missing"),
        ({"unauthenticated": True, "port": "65536"}, "--port: expected a whole"),
        (
            {"unauthenticated": True, "port": "1", "source": "web"},
            "--source: expected an IP address, got 'web'",
        ),
    ],
)
def test_each_problem_names_its_option(given: dict[str, Any], said: str) -> None:
    assert any(said in each for each in problems(**given))


def test_where_the_application_connects_to_is_a_question_of_its_own() -> None:
    asked = Asked(
        to="a.test:80",
        resolve=("a.test=10.0.0.1",),
        peers=("ns/shop/sa/cart",),
        trust_domain="example.org",
    )
    expected = Way(Endpoint("a.test", 80), {"a.test": ("10.0.0.1",)}, PEER)
    assert parse_way(asked) == expected
    silent = Way(Endpoint("a.test", 80), {}, None)
    assert parse_way(Asked(to="a.test", port="80")) == silent
    assert parse_way(Asked(to="a.test:80", certificate=True)) == silent


def test_all_that_is_wrong_with_it_is_told_at_once() -> None:
    with pytest.raises(QuestionError) as raised:
        parse_way(
            Asked(
                to="a.test",
                resolve=("x",),
                unauthenticated=True,
                source="10.0.0.1",
                peers=("x",),
                certificate=True,
            )
        )
    assert [each.split(" ")[0] for each in raised.value.problems] == [
        "--unauthenticated:",
        "--source:",
        "expected",
        "--peer:",
        "--to:",
        "--resolve:",
    ]


def test_a_server_always_shows_a_certificate() -> None:
    with pytest.raises(QuestionError, match="--peer: a server always shows a cert"):
        parse_way(Asked(to="a.test:80", peers=("unauthenticated",)))


def test_names_are_resolved_for_where_a_connection_goes() -> None:
    (said,) = problems(unauthenticated=True, port="1", resolve=("a=10.0.0.1",))
    assert said == "--resolve: is about where a connection goes, and needs --to"


def test_a_view_is_of_everybody_from_somewhere() -> None:
    assert parse_view(Asked(source="10.0.0.1")) == View(ip_address("10.0.0.1"))
    assert parse_view(Asked()) == View(None)
    with pytest.raises(QuestionError) as raised:
        parse_view(Asked(peers=("x",), port="1", to="a:1", source="x"))
    assert [each.split(" ")[0] for each in raised.value.problems] == [
        "--peer:",
        "--port:",
        "--to:",
        "--source:",
    ]


@given(st.builds(Asked, port=st.text(), source=st.text(), peers=st.just((CART,))))
def test_no_option_causes_another_error(asked: Asked) -> None:
    with contextlib.suppress(QuestionError):
        assert parse_question(asked).peer == PEER
