from __future__ import annotations

import gzip
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import trio
from attrs import evolve
from prometheus_client import CollectorRegistry

from sidecar.admin.messages import Request, Response, text
from sidecar.admin.readiness import Readiness
from sidecar.admin.routes import Route
from sidecar.admin.server import AdminActions, admin_handler, telemetry_handler
from sidecar.telemetry.labels import Direction
from sidecar.telemetry.metrics import Metrics
from tests.admin.talking import ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture
def readiness() -> Readiness:
    return Readiness(["identity"])


class App:
    """Takes down what it is asked to do."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.problems: Sequence[str] = ()
        self.rows: list[dict[str, Any]] = []

    async def reload(self) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        self.asked.append("reload")
        return self.problems

    def actions(self) -> AdminActions:
        return AdminActions(
            connections=lambda: self.rows,
            config=lambda: {"admin": {"listen": "127.0.0.1:15000"}, "name": "é\x7f"},
            reload=self.reload,
            drain=lambda: self.asked.append("drain"),
            quit=lambda: self.asked.append("quit"),
        )

    async def ask(self, method: str, path: str, **query: str) -> Response:
        return await ask(admin_handler(self.actions()), Request(method, path, query))


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def log_level() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    level = root.level
    root.setLevel("INFO")
    yield root
    root.setLevel(level)


async def test_what_is_elsewhere_is_awaited(app: App) -> None:
    """As with the connections of several processes."""
    levels: list[object] = []

    async def rows() -> list[dict[str, Any]]:
        await trio.lowlevel.checkpoint()
        return [{"worker": 1}]

    async def config() -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        return {"workers": 2}

    handler = admin_handler(
        evolve(app.actions(), connections=rows, config=config, set_level=levels.append)
    )
    assert json.loads((await ask(handler, Request("GET", "/connections"))).body) == [
        {"worker": 1}
    ]
    shown = await ask(handler, Request("GET", "/config"))
    assert json.loads(shown.body) == {"workers": 2}
    await ask(handler, Request("POST", "/logging", {"level": "error"}))
    assert levels == ["error"]


# Telemetry


async def test_metrics_are_what_a_scraper_reads(
    metrics: Metrics, readiness: Readiness
) -> None:
    metrics.on_scrape(lambda: metrics.add_bytes(Direction.INBOUND, 0, 5))
    handler = telemetry_handler(metrics, readiness)
    response = await ask(handler, Request("GET", "/metrics"))
    assert response.status == 200
    assert response.content_type.startswith("text/plain; version=")
    assert b'sidecar_sent_bytes_total{direction="inbound"} 5.0\n' in response.body


async def test_who_takes_gzip_reads_the_same(
    metrics: Metrics, readiness: Readiness
) -> None:
    handler = telemetry_handler(metrics, readiness)
    plain = await ask(handler, Request("GET", "/metrics"))
    headers = {"accept-encoding": "gzip"}
    packed = await ask(handler, Request("GET", "/metrics", headers=headers))
    assert packed.headers == (("Content-Encoding", "gzip"),)
    assert packed.content_type == plain.content_type
    assert len(packed.body) < len(plain.body) / 4

    def names(body: bytes) -> list[bytes]:
        return [line.rpartition(b" ")[0] for line in body.splitlines()]

    assert names(gzip.decompress(packed.body)) == names(plain.body)
    assert plain.headers == ()


async def test_a_scrape_lets_others_run(metrics: Metrics, readiness: Readiness) -> None:
    handler = telemetry_handler(metrics, readiness)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await ask(handler, Request("GET", "/metrics"))
        nursery.cancel_scope.cancel()
    assert turns > 10


async def test_a_process_that_answers_is_alive(
    metrics: Metrics, readiness: Readiness
) -> None:
    readiness.drain()
    response = await ask(
        telemetry_handler(metrics, readiness), Request("GET", "/livez")
    )
    assert (response.status, response.body) == (200, b"ok\n")


async def test_readiness_is_told_with_what_is_awaited(
    metrics: Metrics, readiness: Readiness
) -> None:
    handler = telemetry_handler(metrics, readiness)
    probe = Request("GET", "/readyz")
    response = await ask(handler, probe)
    assert (response.status, response.body) == (503, b"identity\n")
    readiness.done("identity")
    readiness.warn("policy", "old")
    response = await ask(handler, probe)
    assert (response.status, response.body) == (200, b"ready\nwarning: policy: old\n")
    readiness.drain()
    assert (await ask(handler, probe)).status == 503


@pytest.mark.parametrize("path", ["/", "/metrics", "/livez", "/readyz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_telemetry_only_reads(
    metrics: Metrics, readiness: Readiness, method: str, path: str
) -> None:
    handler = telemetry_handler(metrics, readiness)
    assert (await ask(handler, Request(method, path))).status == 405


@pytest.mark.parametrize("path", ["/config", "/connections", "/quitquitquit"])
async def test_what_is_for_the_admin_is_not_on_telemetry(
    metrics: Metrics, readiness: Readiness, path: str
) -> None:
    handler = telemetry_handler(metrics, readiness)
    assert (await ask(handler, Request("POST", path))).status == 404


# Admin


@pytest.mark.parametrize("count", [0, 1, 3, 500])
async def test_connections_are_a_json_list_one_on_a_line(app: App, count: int) -> None:
    app.rows = [{"peer": f"spiffe://a/{n}\x1b", "sent": n} for n in range(count)]
    response = await app.ask("GET", "/connections")
    assert response.content_type == "application/json"
    assert json.loads(response.body) == app.rows
    assert response.body.count(b'{"peer"') == count
    assert b"\x1b" not in response.body
    assert len(response.body.splitlines()) == (count + 2 if count else 1)


async def test_the_configuration_is_shown_as_ascii(app: App) -> None:
    response = await app.ask("GET", "/config")
    assert response.body.isascii()
    assert b"\x7f" not in response.body
    assert json.loads(response.body) == app.actions().config()


@pytest.mark.parametrize(("path", "body"), [("/drain", b"draining\n")])
async def test_a_post_does_what_it_says(app: App, path: str, body: bytes) -> None:
    assert (await app.ask("POST", path)).body == body
    assert app.asked == ["drain"]


async def test_quitting_waits_until_the_answer_is_out(app: App) -> None:
    response = await app.ask("POST", "/quitquitquit")
    assert response.body == b"quitting\n"
    assert app.asked == []
    assert response.after is not None
    response.after()
    assert app.asked == ["quit"]


async def test_a_reload_says_what_is_wrong(app: App) -> None:
    response = await app.ask("POST", "/reload")
    assert (response.status, response.body) == (200, b"reloaded\n")
    app.problems = ("policy.yaml: default: expected deny",)
    response = await app.ask("POST", "/reload")
    assert response.status == 422
    assert response.body == b"not reloaded:\npolicy.yaml: default: expected deny\n"


@pytest.mark.parametrize("path", ["/drain", "/reload", "/quitquitquit"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_looking_changes_nothing(app: App, method: str, path: str) -> None:
    assert (await app.ask(method, path)).status == 405
    assert app.asked == []


async def test_the_log_level_can_be_read_and_set(
    app: App, log_level: logging.Logger
) -> None:
    assert (await app.ask("GET", "/logging")).body == b"level=info\n"
    response = await app.ask("POST", "/logging", level="debug")
    assert response.body == b"level=debug\n"
    assert log_level.level == logging.DEBUG


@pytest.mark.parametrize("query", [{}, {"level": "loud"}, {"level": "DEBUG"}])
async def test_a_level_that_is_none_changes_nothing(
    app: App, log_level: logging.Logger, query: dict[str, str]
) -> None:
    response = await app.ask("POST", "/logging", **query)
    assert response.status == 400
    assert response.body == b"level: expected one of debug, info, warning, error\n"
    assert log_level.level == logging.INFO


async def test_a_web_page_gets_nowhere(app: App) -> None:
    handler = admin_handler(app.actions())
    rebound = Request("GET", "/config", headers={"host": "evil.example"})
    assert (await ask(handler, rebound)).status == 421
    across = Request("POST", "/quitquitquit", headers={"origin": "http://a"})
    assert (await ask(handler, across)).status == 403
    assert (await ask(handler, evolve(across, headers={}))).status == 200


async def test_the_index_of_each_listener_lists_its_pages(
    app: App, metrics: Metrics, readiness: Readiness
) -> None:
    telemetry = telemetry_handler(metrics, readiness)
    assert b"/metrics" in (await ask(telemetry, Request("GET", "/"))).body
    assert b"/quitquitquit" in (await app.ask("GET", "/")).body


async def test_more_pages_are_served_and_listed(
    metrics: Metrics, readiness: Readiness
) -> None:
    more = Route("GET", "/app-health/web/livez", lambda _: text("well"), "a probe")
    handler = telemetry_handler(metrics, readiness, [more])
    assert (await ask(handler, Request("GET", more.path))).body == b"well\n"
    assert (await ask(handler, Request("GET", more.path + "/"))).status == 404
    assert (await ask(handler, Request("POST", more.path))).status == 405
    assert b"/app-health/web/livez" in (await ask(handler, Request("GET", "/"))).body
