from __future__ import annotations

import pytest

from sidecar.probes.answer import ProbeFailed
from sidecar.probes.dial import dialled
from tests.probes.applications import application
from tests.support.ports import free_port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_address_or_a_name_is_dialled(host: str) -> None:
    async with application(b"hello") as app, dialled(host, app.port) as stream:
        await stream.send_all(b"there")
        assert await stream.receive_some() == b"hello"
    assert app.asked == [b"there"]


async def test_where_nobody_accepts_the_address_and_the_reason_are_named() -> None:
    port = free_port()
    with pytest.raises(ProbeFailed, match=f"127.0.0.1 port {port}: connection refused"):
        async with dialled("127.0.0.1", port):
            raise AssertionError("nobody is there")


async def test_a_name_that_nobody_knows_is_a_failure() -> None:
    with pytest.raises(ProbeFailed, match=r"nowhere\.invalid port 1"):
        async with dialled("nowhere.invalid", 1):
            raise AssertionError("nobody is there")
