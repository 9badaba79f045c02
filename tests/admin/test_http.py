from __future__ import annotations

import socket

import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st

from sidecar.admin.accept import serve, stream_listener
from sidecar.admin.http import Bodies, HttpConnection, HttpLimits
from sidecar.admin.messages import Request, Response, text
from sidecar.config.model import Endpoint
from sidecar.net import listen
from tests.admin.talking import (
    GET,
    POST,
    Stream,
    StreamPair,
    answers,
    complaints,
    connected,
    echo,
    read_all,
    talk,
)

SMALL = HttpLimits(header_bytes=1000, body_bytes=100)

# What an attacker would try: a real request, bent somewhere.
pieces = st.sampled_from(
    [
        GET,
        POST,
        POST[:-5],
        b"GET / HTTP/1.0\r\n\r\n",
        b"HEAD * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"Expect: 100-continue\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ]
)
hostile = st.lists(pieces | st.binary(max_size=40), max_size=6).map(b"".join)


def lockstep() -> StreamPair:
    """Streams on which sending waits for the reader."""
    return trio.testing.lockstep_stream_pair()


# In order


async def test_an_answer_carries_what_every_answer_carries() -> None:
    (answer,) = answers(await talk(GET))
    assert answer.status == 200
    assert answer.body == b"GET / \n"
    assert answer.headers.pop("date").endswith(" GMT")
    assert answer.headers == {
        "content-type": "text/plain; charset=utf-8",
        "content-length": "7",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }


async def test_a_handler_sees_the_whole_request() -> None:
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        seen.append(request)
        return text("ok")

    await talk(POST, handler)
    assert seen == [
        Request(
            method="POST",
            path="/echo",
            query={"a": "1", "b": ""},
            headers={"host": "localhost", "x-one": "1, 2", "content-length": "5"},
            body=b"hello",
        )
    ]


async def test_a_connection_serves_one_request_after_another() -> None:
    async with connected() as client:
        for _ in range(3):
            await client.send_all(POST)
            answer = b""
            while not answer.endswith(b"hello\n"):
                answer += await client.receive_some()
        await client.aclose()


async def test_pipelined_requests_are_answered_in_order() -> None:
    read = answers(await talk(GET + POST + GET))
    assert [answer.body for answer in read] == [
        b"GET / \n",
        b"POST /echo hello\n",
        b"GET / \n",
    ]


async def test_head_gets_the_length_but_not_the_body() -> None:
    raw = await talk(GET.replace(b"GET", b"HEAD") + GET)
    first, second = answers(raw, ["HEAD", "GET"])
    assert first.headers["content-length"] == "8"
    assert first.body == b""
    assert second.body == b"GET / \n"


async def test_a_body_may_come_in_chunks() -> None:
    request = (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    )
    (answer,) = answers(await talk(request))
    assert answer.body == b"POST / hello\n"


async def test_a_client_that_waits_for_a_go_ahead_gets_it() -> None:
    head, body = (
        POST[:-5].replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
        b"",
    )
    async with connected() as client:
        await client.send_all(head)
        assert b"100" in await client.receive_some()
        await client.send_all(body + b"hello")
        await client.send_eof()
        assert (await read_all(client)).endswith(b"POST /echo hello\n")


async def test_http_1_0_gets_one_answer() -> None:
    raw = await talk(b"GET / HTTP/1.0\r\n\r\n" * 2)
    assert [answer.status for answer in answers(raw)] == [200]


async def test_a_crowded_server_gives_connections_up() -> None:
    async with connected(crowded=lambda: True) as client:
        await client.send_all(GET + GET)
        (answer,) = answers(await read_all(client))
        assert answer.headers["connection"] == "close"
        await client.aclose()


# Out of order


async def test_every_prefix_of_a_request_is_refused_and_the_whole_is_answered() -> None:
    for length in range(1, len(POST)):
        raw = await talk(POST[:length])
        assert [answer.status for answer in answers(raw)] == [400], POST[:length]
    assert [answer.status for answer in answers(await talk(POST))] == [200]


async def test_a_request_may_come_byte_by_byte() -> None:
    async with connected() as client:
        for n in range(len(POST)):
            await client.send_all(POST[n : n + 1])
            await trio.testing.wait_all_tasks_blocked()
        await client.send_eof()
        (answer,) = answers(await read_all(client))
        assert answer.body == b"POST /echo hello\n"


@given(hostile)
async def test_any_bytes_get_answers_or_a_closed_connection(data: bytes) -> None:
    with complaints() as seen:
        raw = await talk(data, limits=SMALL)
    assert seen == []
    assert raw == b"" or raw.startswith(b"HTTP/1.1 ")


@given(st.binary(max_size=2000))
async def test_a_binary_protocol_is_not_an_http_request(data: bytes) -> None:
    with complaints() as seen:
        raw = await talk(b"\x16\x03\x01" + data, limits=SMALL)
    assert seen == []
    assert answers(raw)[0].status in {400, 431}


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (GET[:-2] + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (GET[:-2] + b"X: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 5000, 431),
        (GET[:-2] + b"Content-Length: 101\r\n\r\n", 413),
        (
            GET[:-2] + b"Transfer-Encoding: chunked\r\n\r\n65\r\n" + b"x" * 101,
            413,
        ),
    ],
)
async def test_what_cannot_be_served_is_refused_and_the_connection_closed(
    request_bytes: bytes, status: int
) -> None:
    async with connected(limits=SMALL) as client:
        await client.send_all(request_bytes)
        (answer,) = answers(await read_all(client))
        assert answer.status == status
        assert answer.headers["connection"] == "close"
        await client.aclose()


async def test_a_client_that_leaves_without_asking_gets_nothing() -> None:
    assert await talk(b"") == b""


async def test_a_refusal_quotes_nothing_of_the_request() -> None:
    raw = await talk(b"GET / HTTP/1.1\r\nHost: a\r\n<script>: \x00\r\n\r\n")
    assert b"script" not in raw


async def test_a_silent_client_is_closed_when_its_time_is_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with connected() as client:
        assert await read_all(client) == b""
    assert trio.current_time() == pytest.approx(30)


async def test_a_kept_connection_has_its_idle_time_after_each_request(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with connected() as client:
        for _ in range(3):
            await trio.sleep(29)
            await client.send_all(GET)
        assert len(answers(await read_all(client))) == 3
    assert trio.current_time() == pytest.approx(3 * 29 + 30)


async def test_a_slow_request_meets_its_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def drip(client: Stream) -> None:
        for byte in GET:
            await client.send_all(bytes([byte]))
            await trio.sleep(1)

    async with connected() as client, trio.open_nursery() as nursery:
        nursery.start_soon(drip, client)
        (answer,) = answers(await read_all(client))
        nursery.cancel_scope.cancel()
        assert answer.status == 408
        assert answer.headers["connection"] == "close"
    assert trio.current_time() <= 12


async def test_a_slow_handler_meets_the_same_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def handler(_request: Request) -> Response:
        await trio.sleep_forever()
        raise AssertionError("must not come here")

    (answer,) = answers(await talk(GET, handler))
    assert answer.status == 503
    assert trio.current_time() == pytest.approx(10)


async def test_a_slow_reader_meets_the_same_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with connected(make_pair=lockstep) as client:
        await client.send_all(GET)
        assert len(await client.receive_some(10)) == 10
        await trio.sleep(15)
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(GET)


async def test_a_reader_that_stalls_on_a_refusal_is_left_soon(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with connected(make_pair=lockstep) as client:
        await client.send_all(GET[:5])
    assert trio.current_time() == pytest.approx(10 + 1 + 1)
    await client.aclose()


async def test_a_client_may_go_in_the_middle_of_a_response() -> None:
    called: list[str] = []

    def handler(_request: Request) -> Response:
        return Response(200, b"x" * 100_000, after=lambda: called.append("after"))

    with complaints() as seen:
        async with connected(handler, make_pair=lockstep) as client:
            await client.send_all(GET)
            await client.receive_some(10)
            await client.aclose()
    assert seen == []
    assert called == ["after"]


async def test_what_is_to_come_after_the_answer_comes_after_it() -> None:
    order: list[str] = []

    async with connected(
        lambda _: Response(200, b"bye", after=lambda: order.append("after")),
        make_pair=lockstep,
    ) as client:
        await client.send_all(GET)
        while not (await client.receive_some()).endswith(b"bye"):
            pass
        order.append("read")
        await trio.testing.wait_all_tasks_blocked()
        await client.aclose()
    assert order == ["read", "after"]


async def test_a_handler_that_breaks_costs_one_connection_and_is_logged() -> None:
    def handler(_request: Request) -> Response:
        raise ValueError("a secret")

    with complaints() as seen:
        raw = await talk(GET, handler)
    (answer,) = answers(raw)
    assert answer.status == 500
    assert b"secret" not in raw
    assert answer.headers["connection"] == "close"
    assert seen == ["HTTP handler failed"]


async def test_an_answer_that_cannot_be_sent_is_logged_and_no_more() -> None:
    with complaints() as seen:
        assert await talk(GET, lambda _: Response(99)) == b""
    assert seen == ["HTTP connection failed"]


async def test_a_client_that_keeps_talking_is_not_heard_for_ever() -> None:
    async with connected(limits=SMALL) as client:
        await client.send_all(b"GET /" + b"x" * 2_000_000)
        (answer,) = answers(await read_all(client))
        assert answer.status == 431


async def test_a_cancelled_server_closes_its_connections() -> None:
    client, server = trio.testing.memory_stream_pair()
    with trio.CancelScope() as scope:
        async with connected(echo, make_pair=lambda: (client, server)):
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert await read_all(client) == b""
    with pytest.raises(trio.ClosedResourceError):
        await server.send_all(b"x")


@pytest.mark.parametrize(
    ("bound", "called"),
    [("127.0.0.1", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::1")],
)
async def test_a_request_knows_which_address_was_called(
    bound: str, called: str
) -> None:
    def handler(request: Request) -> Response:
        return text(f"called at {request.local}")

    listener = stream_listener(listen.bind(Endpoint(bound, 0)))
    port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, [listener], handler)
        client = await trio.open_tcp_stream(called, port)  # noqa: TID251 - a client
        await client.send_all(GET)
        assert answers(bytes(await client.receive_some()))[0].body == (
            f"called at {called}\n".encode()
        )
        await client.aclose()
        nursery.cancel_scope.cancel()
    await listener.aclose()


async def test_who_calls_in_another_way_calls_no_address() -> None:
    ours, theirs = (
        trio.SocketStream(trio.socket.from_stdlib_socket(each))
        for each in socket.socketpair()
    )
    seen: list[str] = []

    def handler(request: Request) -> Response:
        seen.append(request.local)
        return text("ok")

    async with connected(handler, make_pair=lambda: (ours, theirs)) as client:
        await client.send_all(GET)
        await client.send_eof()
        await read_all(client)
    assert seen == [""]
    await ours.aclose()


async def test_all_bodies_together_have_a_limit_and_those_answered_do_not_count() -> (
    None
):
    limits = HttpLimits(body_bytes=100, bodies_bytes=150)
    bodies = Bodies()
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
    held, held_end = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        first = HttpConnection(held_end, echo, limits, bodies=bodies)
        nursery.start_soon(first.run)
        await held.send_all(head + b"a" * 90)
        await trio.testing.wait_all_tasks_blocked()
        assert bodies.held == 90
        other, other_end = trio.testing.memory_stream_pair()
        second = HttpConnection(other_end, echo, limits, bodies=bodies)
        nursery.start_soon(second.run)
        await other.send_all(head + b"b" * 100)
        await other.send_eof()
        assert answers(await read_all(other))[0].status == 503
        await held.send_all(b"a" * 10)
        await held.send_eof()
        assert answers(await read_all(held), ["POST"])[0].status == 200
    assert bodies.held == 0
