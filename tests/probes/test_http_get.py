from __future__ import annotations

import contextlib

import pytest
import trio
from hypothesis import given, strategies as st

from sidecar.config.app_probes import HttpProbe
from sidecar.probes.answer import Answer, ProbeFailed
from sidecar.probes.http_get import get
from tests.probes.applications import Application, application

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
KUBELET = "kube-probe/1.35"


async def ask(app: Application, path: str = "/live") -> Answer:
    with trio.fail_after(10):
        return await get(HttpProbe(app.port, path), "127.0.0.1", KUBELET)


def redirect(location: str, status: int = 302) -> bytes:
    head = f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0"
    return f"{head}\r\n\r\n".encode()


async def test_the_application_sees_the_request_of_a_kubelet() -> None:
    async with application(OK) as app:
        answer = await ask(app, "/live?x=1")
    assert answer == Answer(200, b"ok")
    assert app.asked == [
        b"GET /live?x=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: kube-probe/1.35\r\n"
        b"Accept: */*\r\nConnection: close\r\n\r\n" % app.port
    ]


@pytest.mark.parametrize("status", [200, 204, 304, 399, 404, 500, 999])
async def test_the_status_is_what_the_application_says(status: int) -> None:
    async with application(
        b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
    ) as app:
        assert (await ask(app)).status == status


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
)
async def test_an_answer_may_come_in_any_form_of_http(answer: bytes) -> None:
    async with application(answer) as app:
        assert await ask(app) == Answer(200, b"ok")


async def test_a_long_body_is_cut_where_the_kubelet_cuts_it() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    async with application(head + b"a" * 11 * 1024, closes=False) as app:
        assert await ask(app) == Answer(200, b"a" * 10 * 1024)


async def test_a_redirect_within_the_pod_is_followed() -> None:
    async with application(redirect("/ready"), OK) as app:
        assert await ask(app) == Answer(200, b"ok")
    assert app.asked[1].startswith(b"GET /ready HTTP/1.1\r\n")


async def test_a_redirect_to_another_host_is_the_answer() -> None:
    location = "http://shop.example/"
    async with application(redirect(location)) as app:
        assert await ask(app) == Answer(302, b"", location)


async def test_ten_requests_are_enough() -> None:
    async with application(*[redirect("/again")] * 10, OK) as app:
        with pytest.raises(ProbeFailed, match="stopped after 10 redirects"):
            await ask(app)
    assert len(app.asked) == 10


async def test_a_redirect_to_nowhere_is_a_failure() -> None:
    async with application(redirect("ftp://127.0.0.1/")) as app:
        with pytest.raises(ProbeFailed, match="redirected to no http URL"):
            await ask(app)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 101 Switching\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
    ],
)
async def test_what_is_no_whole_answer_is_a_failure(answer: bytes) -> None:
    async with application(answer) as app:
        with pytest.raises(ProbeFailed, match="broken answer"):
            await ask(app)


async def test_an_application_without_tls_fails_a_probe_that_wants_it() -> None:
    async with application(OK) as app:
        with pytest.raises(ProbeFailed, match="broken answer"):
            await get(HttpProbe(app.port, scheme="HTTPS"), "127.0.0.1", KUBELET)


@given(answer=st.binary(max_size=80) | st.binary(max_size=60).map(OK[:17].__add__))
def test_whatever_an_application_says_is_an_answer_or_a_failure(answer: bytes) -> None:
    async def attempt() -> None:
        async with application(answer) as app:
            with contextlib.suppress(ProbeFailed):
                assert 200 <= (await ask(app)).status <= 999

    trio.run(attempt)  # noqa: TID251 - hypothesis calls plain functions
