from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sidecar.admin.guard import guarded, refusal
from sidecar.admin.messages import Request, Response, text
from tests.admin.talking import ask


def bomb(_request: Request) -> Response:
    raise AssertionError("must not be asked")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "LocalHost:15000",
        "unix",
        "127.0.0.1",
        "127.0.0.1:15000",
        "10.1.2.3:80",
        "[::1]",
        "[::1]:15000",
    ],
)
def test_a_host_that_dns_has_no_say_in_is_welcome(host: str) -> None:
    assert refusal(Request("POST", "/drain", headers={"host": host})) is None


def test_no_host_is_welcome() -> None:
    assert refusal(Request("GET", "/")) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:15000",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "localhost:evil",
        "127.0.0.1:15000:1",
        "127.1",
        "0x7f.0.0.1",
        "a, localhost",
    ],
)
async def test_a_name_that_somebody_can_point_at_us_is_refused(host: str) -> None:
    request = Request("GET", "/config", headers={"host": host})
    assert (await ask(guarded(bomb), request)).status == 421


@given(st.text())
def test_any_host_gets_an_answer(host: str) -> None:
    response = refusal(Request("GET", "/", headers={"host": host}))
    assert response is None or response.status == 421


@pytest.mark.parametrize("header", ["origin", "sec-fetch-site"])
async def test_a_web_page_cannot_change_anything(header: str) -> None:
    headers = {"host": "127.0.0.1:15000", header: "null"}
    response = await ask(
        guarded(bomb), Request("POST", "/quitquitquit", headers=headers)
    )
    assert response.status == 403


async def test_a_browser_may_look() -> None:
    headers = {"host": "localhost:15000", "sec-fetch-site": "none"}
    handler = guarded(lambda _: text("seen"))
    response = await ask(handler, Request("GET", "/", headers=headers))
    assert response.body == b"seen\n"
