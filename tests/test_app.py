from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import h11
import pytest
import trio
import yaml

from sidecar import __version__, app
from sidecar.binding import BindError
from sidecar.config.check import check
from sidecar.config.problems import ConfigError
from sidecar.telemetry.log import LogHandler
from tests.support.pki import identity, new_authority
from tests.support.ports import free_port
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A configuration that runs: one listener each way, and two for HTTP."""
    (tmp_path / "policy.yaml").write_text("default: deny\nrules: []\n")
    return {
        "identity": identity(tmp_path, "/ns/shop/sa/api", new_authority()),
        "inbound": {"listeners": [listener()]},
        "outbound": {"listeners": [listener()], "default": "plaintext"},
        "policy": "policy.yaml",
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
        "telemetry": {"listen": f"127.0.0.1:{free_port()}"},
    }


def listener() -> dict[str, str]:
    return {
        "listen": f"127.0.0.1:{free_port()}",
        "destination": f"127.0.0.1:{free_port()}",
    }


async def run(
    folder: Path, settings: dict[str, Any], name: str = "sidecar.yaml"
) -> None:
    path = folder / name
    path.write_text(yaml.safe_dump(settings))
    now = dt.datetime.now(dt.UTC)
    await app.run(path, check(path, now), now, LogHandler(2))


@contextlib.asynccontextmanager
async def running(folder: Path, settings: dict[str, Any]) -> AsyncIterator[None]:
    """Run it; the block must bring it to its end."""
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, folder, settings)
            while True:
                with contextlib.suppress(OSError):
                    if (await ask(settings, "GET", "/readyz"))[0] == 200:
                        break
                await trio.lowlevel.checkpoint()
            yield


async def ask(settings: dict[str, Any], method: str, path: str) -> tuple[int, str]:
    where = settings["admin" if method == "POST" else "telemetry"]["listen"]
    http = h11.Connection(h11.CLIENT)
    head = h11.Request(method=method, target=path, headers=[("Host", "localhost")])
    request = (http.send(head) or b"") + (http.send(h11.EndOfMessage()) or b"")
    status, body = 0, b""
    with trio.socket.socket(family(where)) as sock:
        await sock.connect(address(where))
        await sock.send(request)
        while not isinstance(event := http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                http.receive_data(await sock.recv(65536))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
    return status, body.decode()


def family(where: str) -> int:
    return socket.AF_UNIX if where.startswith("unix:") else socket.AF_INET


def address(where: str) -> str | tuple[str, int]:
    host, _, port = where.rpartition(":")
    return port if host == "unix" else (host, int(port))


def put(settings: dict[str, Any], place: str, value: str) -> None:
    at: Any = settings
    *way, last = place.replace("[0]", ".0").split(".")
    for step in way:
        at = at[int(step) if step.isdigit() else step]
    at[last] = value


PLACES = (
    "inbound.listeners[0].listen",
    "outbound.listeners[0].listen",
    "telemetry.listen",
    "admin.listen",
)


@pytest.mark.parametrize("place", PLACES)
async def test_an_address_in_use_is_one_sentence_with_its_place(
    tmp_path: Path, settings: dict[str, Any], place: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        put(settings, place, where)
        with pytest.raises(BindError) as error:
            await run(tmp_path, settings)
    assert str(error.value) == (
        f"{place}: cannot listen there, address already in use, got '{where}'"
    )


async def test_an_address_of_somebody_else_is_one_sentence_with_its_place(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    settings["telemetry"]["listen"] = "192.0.2.1:15020"
    expected = "telemetry.listen: cannot listen there, cannot assign requested address"
    with pytest.raises(BindError, match=re.escape(expected)):
        await run(tmp_path, settings)


async def test_a_unix_socket_that_cannot_be_made_is_one_sentence_with_its_place(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    (tmp_path / "taken").write_text("precious")
    settings["admin"]["listen"] = f"unix:{tmp_path}/taken"
    with pytest.raises(BindError, match=r"admin\.listen: .* not a socket"):
        await run(tmp_path, settings)
    assert (tmp_path / "taken").read_text() == "precious"


async def test_nothing_is_left_open_where_one_address_is_taken(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - the names alone
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings["admin"]["listen"] = f"127.0.0.1:{taken.getsockname()[1]}"
        for _ in range(3):
            with pytest.raises(BindError):
                await run(tmp_path, settings)
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


async def test_a_group_that_openssl_does_not_know_is_a_problem_of_the_configuration(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    settings["tls"] = {"groups": ["X25519", "curve-of-the-day"]}
    with pytest.raises(ConfigError, match=r"tls\.groups: .*'curve-of-the-day'"):
        await run(tmp_path, settings)


@pytest.mark.parametrize("way", ["/quitquitquit", "/drain"])
async def test_it_serves_until_it_is_told_to_end(
    tmp_path: Path, settings: dict[str, Any], way: str
) -> None:
    async with running(tmp_path, settings):
        _, page = await ask(settings, "GET", "/metrics")
        assert f'version="{__version__}"' in page
        assert await ask(settings, "POST", "/reload") == (200, "reloaded\n")
        assert (await ask(settings, "POST", way))[0] == 200
    with pytest.raises(ConnectionRefusedError):
        await ask(settings, "GET", "/readyz")


async def test_a_reload_that_fails_is_told_to_who_asked(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    async with running(tmp_path, settings):
        (tmp_path / "policy.yaml").unlink()
        status, text = await ask(settings, "POST", "/reload")
        assert status == 422
        assert text.startswith("not reloaded:\n")
        assert f"{tmp_path}/policy.yaml" in text
        assert "warning: reload: " in (await ask(settings, "GET", "/readyz"))[1]
        await ask(settings, "POST", "/quitquitquit")


async def test_the_admin_socket_is_its_owners_alone_and_is_removed(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    path = tmp_path / "admin.sock"
    settings["admin"]["listen"] = f"unix:{path}"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with running(tmp_path, settings):
        mode = path.lstat().st_mode
        assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
        second = settings | {
            "inbound": {},
            "outbound": {"listeners": [listener()]},
            "telemetry": {"listen": f"127.0.0.1:{free_port()}"},
        }
        with pytest.raises(BindError, match="another process answers there"):
            await run(tmp_path, second, "second.yaml")
        assert (await ask(settings, "GET", "/readyz"))[0] == 200
        assert (await ask(settings, "POST", "/quitquitquit"))[0] == 200
    assert not path.exists()


async def test_bytes_of_open_connections_are_counted_at_each_scrape(
    tmp_path: Path, settings: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    name = 'sidecar_received_bytes_total{direction="outbound"}'
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        way = settings["outbound"]["listeners"][0]
        way["destination"] = f"127.0.0.1:{upstream.getsockname()[1]}"
        async with running(tmp_path, settings):
            with trio.socket.socket() as sock:
                await sock.connect(address(way["listen"]))
                await sock.send(b"12345")
                while (
                    f"{name} 5.0\n" not in (await ask(settings, "GET", "/metrics"))[1]
                ):
                    await trio.lowlevel.checkpoint()
            await ask(settings, "POST", "/quitquitquit")
            await ask(settings, "POST", "/quitquitquit")
    record = json.loads(capfd.readouterr().out.splitlines()[0])
    assert (record["received"], record["direction"]) == (5, "outbound")


def test_what_only_a_workload_api_needs_is_not_imported_without_one() -> None:
    """Every pod would pay for it."""
    script = (
        "import sidecar.app, sidecar.commands.run, sys\n"
        "print(sorted({'grpc', 'asyncio', 'google.protobuf'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"
