from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import trio

from sidecar.admin.messages import Request, Response
from sidecar.config.app_probes import AppProbe, GrpcProbe, Handler, HttpProbe, TcpProbe
from sidecar.config.problems import ConfigError
from sidecar.probes import grpc_health
from sidecar.probes.prober import Prober, pages_of
from tests.probes.applications import application
from tests.support.ports import free_port

if TYPE_CHECKING:
    from trio.testing import MockClock

LIVE = "/app-health/web/livez"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ASK = Request("GET", LIVE, headers={"user-agent": "kube-probe/1.35"}, local="127.0.0.1")


def prober(action: Handler, seconds: int = 1) -> Prober:
    return Prober(LIVE, AppProbe(action, seconds))


async def test_what_the_application_answers_is_what_the_kubelet_hears() -> None:
    async with application(OK) as app:
        assert await prober(HttpProbe(app.port))(ASK) == Response(200, b"ok\n")
    assert b"User-Agent: kube-probe/1.35\r\n" in app.asked[0]


async def test_the_address_that_was_called_is_the_one_that_is_asked() -> None:
    async with application(OK, host="127.0.0.9") as app:
        probe = prober(HttpProbe(app.port))
        called = Request("GET", LIVE, local="127.0.0.9")
        assert (await probe(called)).status == 200
        assert (await probe(ASK)).status == 502
        assert (await probe(Request("GET", LIVE))).status == 502
    assert b"Host: 127.0.0.9:" in app.asked[0]


async def test_a_connection_is_enough_for_a_tcp_probe() -> None:
    async with application() as app:
        assert (await prober(TcpProbe(app.port))(ASK)).status == 200
        elsewhere = prober(TcpProbe(app.port, host="127.0.0.2"))
        assert (await elsewhere(ASK)).status == 502
    response = await prober(TcpProbe(free_port()))(ASK)
    assert response.status == 502
    assert b"connection refused" in response.body


async def test_an_application_that_says_nothing_is_too_slow(
    autojump_clock: MockClock,
) -> None:
    async with application() as app:
        response = await prober(HttpProbe(app.port), seconds=3)(ASK)
    assert response == Response(504, b"no answer within 3 s\n")
    assert trio.current_time() == pytest.approx(3)


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_an_answer_that_has_no_body_is_passed_on_without(status: int) -> None:
    async with application(b"HTTP/1.1 %d X\r\n\r\n" % status) as app:
        assert await prober(HttpProbe(app.port))(ASK) == Response(status)


async def test_a_redirect_to_elsewhere_is_passed_on_with_its_place() -> None:
    moved = b"HTTP/1.1 301 Moved\r\nLocation: http://a.example/\r\n\r\n"
    async with application(moved) as app:
        response = await prober(HttpProbe(app.port))(ASK)
    assert response.status == 301
    assert response.headers == (("Location", "http://a.example/"),)


async def test_many_who_ask_at_once_cost_the_application_one_probe() -> None:
    async with application(closes=False) as app:
        probe = prober(HttpProbe(app.port), seconds=60)
        heard: list[int] = []

        async def ask() -> None:
            heard.append((await probe(ASK)).status)

        app.answers.append(OK)
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(ask)
    assert heard == [200] * 50
    assert len(app.asked) == 1


async def test_few_wait_for_one_that_may_take_long(autojump_clock: MockClock) -> None:
    """Whoever reaches the listener may ask, and has to leave room for others."""
    async with application() as app:
        probe = prober(HttpProbe(app.port), seconds=600)
        heard: list[int] = []

        async def ask() -> None:
            heard.append((await probe(ASK)).status)

        async with trio.open_nursery() as nursery:
            for _ in range(64):
                nursery.start_soon(ask)
    assert heard == [503] * 55 + [504] * 9
    assert len(app.asked) == 1


async def test_one_that_is_given_up_is_begun_anew_for_those_who_still_ask() -> None:
    async with application() as app:
        probe = prober(HttpProbe(app.port), seconds=60)
        first = trio.CancelScope()
        heard: list[Response] = []

        async def ask_and_give_up() -> None:
            with first:
                await probe(ASK)

        async def ask() -> None:
            heard.append(await probe(ASK))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_and_give_up)
            await app.called.wait()
            nursery.start_soon(ask)
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            app.answers.append(OK)
            first.cancel()
    assert [each.status for each in heard] == [200, 200]
    assert len(app.asked) == 2


async def test_the_log_tells_when_a_probe_begins_to_fail_and_when_it_stops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    bad = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"
    async with application(OK, bad, bad, OK, OK) as app:
        probe = prober(HttpProbe(app.port))
        for _ in range(5):
            await probe(ASK)
    assert caplog.messages == ["a probe fails", "a probe succeeds"]


def test_each_probe_has_a_page_and_the_time_that_it_takes() -> None:
    probes = {LIVE: AppProbe(TcpProbe(1), 30), LIVE + "2": AppProbe(TcpProbe(2), 2)}
    pages = pages_of(probes)
    assert [(each.method, each.path) for each in pages.routes] == [
        ("GET", LIVE),
        ("GET", LIVE + "2"),
    ]
    assert pages.limits.request_seconds == 32
    assert pages_of({}).limits.request_seconds == 10


def test_a_grpc_probe_without_h2_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grpc_health, "is_possible", lambda: False)
    with pytest.raises(ConfigError, match="expected the package h2"):
        pages_of({LIVE: AppProbe(GrpcProbe(1))})
    assert pages_of({LIVE: AppProbe(TcpProbe(1))}).routes
