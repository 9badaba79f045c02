from __future__ import annotations

import h11
import pytest
from hypothesis import given, strategies as st

from sidecar.admin import wire
from sidecar.admin.messages import Response

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


def head(target: str, *headers: tuple[str, str]) -> h11.Request:
    return h11.Request(method="GET", target=target, headers=[("Host", "a"), *headers])


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", {}),
        ("/logging?level=debug", "/logging", {"level": "debug"}),
        ("/a?b=1&b=2&c", "/a", {"b": "2", "c": ""}),
        ("/a%2Fb?x=%3F", "/a%2Fb", {"x": "?"}),
        ("http://evil.example/config", "http://evil.example/config", {}),
        ("*", "*", {}),
    ],
)
def test_a_target_is_a_path_and_a_query(
    target: str, path: str, query: dict[str, str]
) -> None:
    request = wire.request_of(head(target), b"")
    assert (request.path, request.query) == (path, query)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1))
def test_any_target_can_be_read(target: str) -> None:
    assert target.startswith(wire.request_of(head(target), b"").path)


def test_repeated_headers_are_one_list() -> None:
    request = wire.request_of(head("/", ("X-A", "1"), ("x-a", "2")), b"")
    assert request.headers == {"host": "a", "x-a": "1, 2"}


@pytest.mark.parametrize("version", ["0.9", "2.0", "3.0"])
def test_another_major_version_is_refused(version: str) -> None:
    request = h11.Request(
        method="GET", target="/", headers=[("Host", "a")], http_version=version
    )
    with pytest.raises(h11.RemoteProtocolError) as caught:
        wire.check_kind(request)
    assert caught.value.error_status_hint == 505


def test_a_tunnel_is_refused() -> None:
    request = h11.Request(method="CONNECT", target="a:1", headers=[("Host", "a")])
    with pytest.raises(h11.RemoteProtocolError) as caught:
        wire.check_kind(request)
    assert caught.value.error_status_hint == 501


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_a_minor_version_makes_no_difference(version: str) -> None:
    request = h11.Request(
        method="GET", target="/", headers=[("Host", "a")], http_version=version
    )
    wire.check_kind(request)


@pytest.mark.parametrize(
    ("headers", "length"), [([], 0), ([("Content-Length", "70")], 70)]
)
def test_the_declared_length_is_what_the_header_says(
    headers: list[tuple[str, str]], length: int
) -> None:
    assert wire.declared_length(head("/", *headers)) == length


def test_a_response_ends_the_connection_only_when_asked() -> None:
    for close in (True, False):
        event = next(iter(wire.response_events(Response(200), date=DATE, close=close)))
        assert isinstance(event, h11.Response)
        assert (b"connection" in dict(event.headers)) is close


def test_extra_headers_are_sent() -> None:
    response = Response(405, b"no", headers=(("Allow", "GET"),))
    start, data, _ = wire.response_events(response, date=DATE, close=True)
    assert isinstance(start, h11.Response)
    assert dict(start.headers)[b"allow"] == b"GET"
    assert start.reason == b"Method Not Allowed"
    assert isinstance(data, h11.Data)


def test_an_empty_or_headless_response_has_no_data() -> None:
    for response, headless in [(Response(200), False), (Response(200, b"x"), True)]:
        events = wire.response_events(
            response, date=DATE, close=False, headless=headless
        )
        assert [type(event) for event in events] == [h11.Response, h11.EndOfMessage]


def test_a_refusal_has_the_status_and_its_name() -> None:
    error = h11.RemoteProtocolError("'\x1b' is bad", error_status_hint=431)
    response = wire.refusal(error)
    assert response.status == 431
    assert response.body == b"request header fields too large\n"


def test_a_status_that_nobody_has_named_is_sent_without_a_name() -> None:
    start, *_ = wire.response_events(Response(299), date=DATE, close=False)
    assert isinstance(start, h11.Response)
    assert (start.status_code, start.reason) == (299, b"")
