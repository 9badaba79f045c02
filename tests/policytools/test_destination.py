from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

from sidecar.config.model import Endpoint
from sidecar.policytools.destination import (
    DestinationError,
    parse_names,
    parse_to,
)


@pytest.mark.parametrize(
    ("text", "port", "expected"),
    [
        ("api.shop.svc:8443", None, Endpoint("api.shop.svc", 8443)),
        ("API.shop.svc", "80", Endpoint("api.shop.svc", 80)),
        ("10.0.0.1", "80", Endpoint("10.0.0.1", 80)),
        ("::1", "80", Endpoint("::1", 80)),
        ("[::1]", "80", Endpoint("::1", 80)),
        ("[::1]:80", None, Endpoint("::1", 80)),
    ],
)
def test_a_destination_has_its_port_here_or_there(
    text: str, port: str | None, expected: Endpoint
) -> None:
    assert parse_to(text, port) == expected


@pytest.mark.parametrize(
    ("text", "port", "said"),
    [
        ("api", None, "expected HOST:PORT, got 'api' (or name the port with --port)"),
        ("api:0", None, "port must be 1 to 65535 to be dialled, got 0"),
        ("api", "x", "port must be a number up to 65535, got 'x'"),
        ("10.0.0:1", None, "expected an IP address, got '10.0.0'"),
    ],
)
def test_what_is_no_destination_is_told_the_rule(
    text: str, port: str | None, said: str
) -> None:
    with pytest.raises(DestinationError) as raised:
        parse_to(text, port)
    assert str(raised.value) == said


def test_addresses_of_a_name_are_collected() -> None:
    texts = ["a.test=10.0.0.1,::1", "B.test=10.0.0.2", "a.test=10.0.0.1,10.0.0.3"]
    assert parse_names(texts) == {
        "a.test": ("10.0.0.1", "::1", "10.0.0.3"),
        "b.test": ("10.0.0.2",),
    }
    assert parse_names([]) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.test", "expected NAME=ADDRESS, got 'a.test'"),
        ("a.test=b.test", "expected an IP address, got 'b.test'"),
        ("a.test=10.0.0", "expected an IP address, got '10.0.0'"),
        ("*.test=10.0.0.1", "a host name has no wildcard"),
    ],
)
def test_what_is_no_address_of_a_name_is_told_the_rule(text: str, said: str) -> None:
    with pytest.raises(DestinationError) as raised:
        parse_names([text])
    assert said in str(raised.value)


@given(st.text(), st.none() | st.text(), st.text())
def test_no_text_causes_another_error(text: str, port: str | None, name: str) -> None:
    with contextlib.suppress(DestinationError):
        parse_to(text, port)
    with contextlib.suppress(DestinationError):
        parse_names([name, f"a={name}"])
