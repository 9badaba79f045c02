from __future__ import annotations

import datetime as dt
import os
import signal
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
import yaml

from sidecar.admin.messages import Request, Response, text
from sidecar.binding import BindError
from sidecar.config.check import check
from sidecar.config.problems import ConfigError
from sidecar.supervisor.supervise import freshened, run
from sidecar.telemetry.log import LogHandler
from tests.admin.talking import ask
from tests.supervisor.scripted import SERVES, command
from tests.test_app import ask as ask_over_http

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


async def supervise(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / "sidecar.yaml"
    path.write_text(yaml.safe_dump(settings))
    checked = check(path, dt.datetime.now(dt.UTC))
    await run(path, checked, 2, command(SERVES), LogHandler(2))


@asynccontextmanager
async def supervising(folder: Path, settings: dict[str, Any]) -> AsyncIterator[None]:
    """Supervise two workers; the block must bring it to its end."""
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, folder, settings)
            while True:
                try:
                    if (await ask_over_http(settings, "GET", "/readyz"))[0] == 200:
                        break
                except OSError:
                    pass
                await trio.sleep(0.01)
            yield


@pytest.mark.parametrize("way", ["/quitquitquit", "/drain"])
async def test_it_serves_until_it_is_told_to_end(
    tmp_path: Path, settings: dict[str, Any], way: str
) -> None:
    async with supervising(tmp_path, settings):
        _, page = await ask_over_http(settings, "GET", "/metrics")
        assert "\na_total 12.0\n" in page
        assert "\nsidecar_worker_restarts_total 0.0\n" in page
        answer = await ask_over_http(settings, "POST", "/reload")
        assert answer == (422, "not reloaded:\nbroken\ntoo\n")
        assert (await ask_over_http(settings, "POST", way))[0] == 200
    with pytest.raises(ConnectionRefusedError):
        await ask_over_http(settings, "GET", "/readyz")


async def test_a_signal_ends_it(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with supervising(tmp_path, settings):
        os.kill(os.getpid(), signal.SIGTERM)


async def test_nothing_is_started_where_one_address_is_taken(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        settings["telemetry"]["listen"] = where
        with pytest.raises(BindError, match=r"telemetry\.listen: .* in use"):
            await supervise(tmp_path, settings)


async def test_what_openssl_refuses_is_said_before_any_worker_is_started(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    settings["tls"] = {"groups": ["curve-of-the-day"]}
    with pytest.raises(ConfigError, match=r"tls\.groups: .*'curve-of-the-day'"):
        await supervise(tmp_path, settings)


async def test_only_metrics_are_made_fresh() -> None:
    asked: list[str] = []

    async def refresh() -> None:
        asked.append("refresh")

    async def slow(request: Request) -> Response:
        asked.append(request.path)
        return text("")

    for handler in (slow, lambda request: text(request.path)):
        await ask(freshened(handler, refresh), Request("GET", "/metrics"))
        await ask(freshened(handler, refresh), Request("GET", "/livez"))
    assert asked == ["refresh", "/metrics", "/livez", "refresh"]
