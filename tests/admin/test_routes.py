from __future__ import annotations

import pytest

from sidecar.admin.messages import Request, Response, text
from sidecar.admin.routes import Route, Routes
from tests.admin.talking import ask


async def slow(_request: Request) -> Response:
    return text("slow")


ROUTES = Routes(
    "a title",
    [
        Route("GET", "/a", lambda _: text("get"), "about a"),
        Route("POST", "/a", lambda _: text("post"), "changes a"),
        Route("POST", "/b", slow, "about b"),
    ],
)


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/a", 200, b"get\n"),
        ("HEAD", "/a", 200, b"get\n"),
        ("POST", "/a", 200, b"post\n"),
        ("POST", "/b", 200, b"slow\n"),
        ("GET", "/a/", 404, b"no such page, / lists them\n"),
        ("GET", "*", 404, b"no such page, / lists them\n"),
        ("GET", "http://a/a", 404, b"no such page, / lists them\n"),
        ("get", "/a", 405, b"allowed here: GET, HEAD, POST\n"),
        ("GET", "/b", 405, b"allowed here: POST\n"),
        ("HEAD", "/b", 405, b"allowed here: POST\n"),
        ("DELETE", "/", 405, b"allowed here: GET, HEAD\n"),
    ],
)
async def test_the_route_of_a_request_answers_it(
    method: str, path: str, status: int, body: bytes
) -> None:
    response = await ask(ROUTES, Request(method, path))
    assert (response.status, response.body) == (status, body)


async def test_a_405_says_what_is_allowed() -> None:
    response = await ask(ROUTES, Request("PUT", "/a"))
    assert response.headers == (("Allow", "GET, HEAD, POST"),)


async def test_the_index_lists_the_routes() -> None:
    response = await ask(ROUTES, Request("GET", "/"))
    assert response.body.decode().splitlines() == [
        "a title",
        "",
        "GET  /a              about a",
        "POST /a              changes a",
        "POST /b              about b",
    ]
