from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest
import trio

from sidecar.binding import BindError
from sidecar.config.model import Endpoint
from sidecar.telemetry import log
from sidecar.webhook.certificate import Files
from sidecar.webhook.current import load
from sidecar.webhook.serve import LIMITS, Options, run
from tests.support.pki import new_authority, write_svid

if TYPE_CHECKING:
    from pathlib import Path


def options(folder: Path, port: int) -> Options:
    files = Files(*write_svid(folder, new_authority(), "/webhook", name="tls"))
    settings = folder / "injection.yaml"
    settings.write_text("image: sidecar:1\n")
    return Options(
        listen=Endpoint("127.0.0.1", port),
        telemetry=Endpoint("127.0.0.1", 0),
        files=files,
        settings_file=settings,
    )


async def test_an_address_in_use_is_named(tmp_path: Path) -> None:
    (other,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = other.socket.getsockname()[1]
    made = options(tmp_path, port)
    loaded = load(made.files, made.settings_file, dt.datetime.now(dt.UTC))
    with pytest.raises(BindError, match=r"--listen: cannot listen there"):
        await run(made, loaded, log.LogHandler(2))
    await other.aclose()


def test_its_limits_fit_what_an_api_server_sends() -> None:
    largest = {"request": {"object": "a" * 3 * 1024 * 1024, "uid": "1"}}
    assert len(json.dumps(largest)) < LIMITS.body_bytes
    assert LIMITS.idle_seconds > 90  # IdleConnTimeout of Go's transport
