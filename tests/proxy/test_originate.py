"""What `originate` adds to a dial and a handshake; the rest is in test_outbound."""

from __future__ import annotations

import contextlib

from OpenSSL import SSL

from sidecar.proxy import originate
from tests.proxy.test_outbound import choosy_server, is_reset, leading, says
from tests.support.mesh import (
    Tls,
    Wire,
    application,
    echo_tls,
    running,
    speaks_tls,
    svid,
)


async def test_what_is_remembered_of_alpn_is_bounded() -> None:
    limit = originate._NO_ALPN_REMEMBERED
    async with (
        application(choosy_server([])) as server,
        running(leading(server.endpoint)) as mesh,
    ):
        mesh.mesh.no_alpn.update(("10.0.0.1", port) for port in range(limit))
        assert await says(mesh, b"hello") == b"hello"
        await mesh.record()
        there = (server.endpoint.host, server.endpoint.port)
        assert mesh.mesh.no_alpn == {there}


async def test_the_second_connection_to_a_server_resumes() -> None:
    async with (
        application(speaks_tls(svid("db"))) as server,
        running(leading(server.endpoint)) as mesh,
    ):
        for _ in range(3):
            assert await says(mesh, b"hello") == b"hello"
        records = await mesh.records(3)
    assert [each["resumed"] for each in records] == [False, True, True]
    assert {each["peer"] for each in records} == {records[0]["peer"]}
    assert mesh.handshakes(direction="outbound", reason="ok", resumed="true") == 2


async def test_a_server_that_cannot_be_asked_to_resume_is_asked_once() -> None:
    async def fails(wire: Wire) -> None:
        with contextlib.suppress(SSL.Error):
            await handler(wire)

    handler = speaks_tls(svid("db"), names_sessions=False)
    async with (
        application(fails) as server,
        running(leading(server.endpoint)) as mesh,
    ):
        for _ in range(3):
            assert await says(mesh, b"hello") == b"hello"
        records = await mesh.records(3)
        assert len(server.accepted) == 4
    assert [each["outcome"] for each in records] == ["completed"] * 3
    assert [each["resumed"] for each in records] == [False] * 3


async def test_a_server_that_ends_without_a_word_is_asked_anew_the_next_time() -> None:
    async def ends_the_second(tls: Tls) -> None:
        seen.append(tls)
        if len(seen) == 2:
            tls.wire.end()
        else:
            await echo_tls(tls)

    seen: list[Tls] = []
    async with (
        application(speaks_tls(svid("db"), ends_the_second)) as server,
        running(leading(server.endpoint)) as mesh,
    ):
        assert await says(mesh, b"hello") == b"hello"
        await is_reset(mesh)
        assert await says(mesh, b"hello") == b"hello"
        records = await mesh.records(3)
    assert [each["resumed"] for each in records] == [False, True, False]
