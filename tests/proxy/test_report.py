from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio

from sidecar.config.model import (
    AccessLevel,
    Endpoint,
    Inbound,
    Log,
    Mode,
)
from sidecar.proxy.connection import Connection, Generations
from sidecar.proxy.report import publish_bytes, report
from sidecar.relay.flow import Ending
from sidecar.telemetry.labels import Direction, Outcome, Reason, Verdict
from tests.support.mesh import (
    Running,
    allow,
    application,
    client,
    configuration,
    running,
    svid,
)

if TYPE_CHECKING:
    from tests.support.sidecars import Record

DISABLED = Inbound(mode=Mode.DISABLED)
BYTES = ("sidecar_received_bytes_total", "sidecar_sent_bytes_total")


def moved(mesh: Running, direction: Direction = Direction.INBOUND) -> list[float]:
    samples = mesh.samples()
    return [samples.sum(name, direction=direction) for name in BYTES]


async def test_bytes_are_published_once_however_often_they_are_scraped() -> None:
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = await client(wire, svid("web")).handshake()
            total = 0
            for size in (1, 10, 1000, 40_000):
                await tls.send(b"x" * size)
                total += size
                seen = 0
                while seen < size:
                    seen += len(await tls.receive())
                for _ in range(2):
                    assert moved(mesh) == [total, total]
            await tls.end()
            assert await tls.receive() == b""
        record = await mesh.record()
        assert moved(mesh) == [total, total]
        assert moved(mesh, Direction.OUTBOUND) == [0, 0]
    assert (record["received"], record["sent"]) == (total, total)


async def test_bytes_that_no_scrape_saw_are_published_at_the_end() -> None:
    async with (
        application() as app,
        running(
            configuration(DISABLED, to=app.endpoint), allow("unauthenticated")
        ) as mesh,
    ):
        with await mesh.connect() as wire:
            await wire.send(b"12345")
            wire.end()
            assert await wire.receive_all() == b"12345"
        await mesh.record()
        assert moved(mesh) == [5, 5]


async def test_bytes_of_connections_add_up_whatever_becomes_of_them() -> None:
    async with (
        application() as app,
        running(
            configuration(DISABLED, to=app.endpoint), allow("unauthenticated")
        ) as mesh,
    ):
        with await mesh.connect() as one, await mesh.connect() as other:
            for wire, data in ((one, b"12345"), (other, b"123")):
                await wire.send(data)
                assert await wire.receive() == data
            assert moved(mesh) == [8, 8]
            one.reset()
            await mesh.wait_open(1)
            assert moved(mesh) == [8, 8]
        await mesh.records(2)
        assert moved(mesh) == [8, 8]


async def test_nothing_is_published_of_one_that_was_not_relayed() -> None:
    async with running(configuration(to=Endpoint("127.0.0.1", 9))) as mesh:
        publish_bytes(connection(), mesh.mesh)
        assert moved(mesh) == [0, 0]


@pytest.mark.parametrize(
    ("access", "written"),
    [
        (AccessLevel.ALL, ["denied", "completed"]),
        (AccessLevel.FAILURES, ["denied"]),
        (AccessLevel.NONE, []),
    ],
)
async def test_the_level_says_which_connections_are_written(
    access: AccessLevel, written: list[str]
) -> None:
    config = Log(access=access)
    async with (
        application() as app,
        running(configuration(to=app.endpoint, log=config), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            denied = await client(wire, svid("intruder")).handshake()
            assert await denied.was_reset() == b""
        with await mesh.connect() as wire:
            tls = await client(wire, svid("web")).handshake()
            await tls.end()
            assert await tls.receive() == b""
        await mesh.wait_open(0)
        samples = mesh.samples()
    assert [each["outcome"] for each in mesh.all_records] == written
    assert samples.sum("sidecar_connections_total", outcome="denied") == 1
    assert samples.sum("sidecar_connections_total", outcome="completed") == 1


def connection() -> Connection:
    source = Endpoint("2001:db8::1", 53211)
    return Connection(Direction.INBOUND, source, trio.current_time())


async def reported(reports: Connection, ending: Ending) -> Record:
    async with running(configuration(to=Endpoint("127.0.0.1", 9))) as mesh:
        mesh.mesh.metrics.connection_opened(reports.direction)
        report(reports, ending, mesh.mesh)
        return await mesh.record()


async def test_what_is_not_known_is_left_out() -> None:
    record = await reported(connection(), Ending(Outcome.NO_DESTINATION))
    assert record.pop("time")
    assert record.pop("seconds") >= 0
    assert record == {
        "direction": "inbound",
        "outcome": "no_destination",
        "reason": "ok",
        "source": "[2001:db8::1]:53211",
        "policy_generation": 1,
        "config_generation": 1,
    }


async def test_what_is_known_is_told() -> None:
    told = connection()
    told.destination = Endpoint("api.shop.svc", 8443)
    told.upstream = Endpoint("10.0.0.1", 8443)
    told.peer = svid("web").name
    told.identity = svid("billing").name
    told.rule = "front"
    told.decision = Verdict.AUDIT
    told.generation = 3
    told.generations = Generations(config=4, policy=5, identity=6)
    record = await reported(told, Ending(Outcome.UPSTREAM_REFUSED, "nobody there"))
    expected = {
        "destination": "api.shop.svc:8443",
        "upstream": "10.0.0.1:8443",
        "peer": "spiffe://example.org/ns/shop/sa/web",
        "identity": "spiffe://example.org/ns/shop/sa/billing",
        "rule": "front",
        "decision": "audit",
        "generation": 3,
        "policy_generation": 5,
        "config_generation": 4,
        "outcome": "upstream_refused",
        "detail": "nobody there",
    }
    assert expected.items() <= record.items()


@pytest.mark.parametrize(
    ("of_the_handshake", "of_the_end", "told"),
    [
        (Reason.OK, Reason.OK, "ok"),
        (Reason.EXPIRED, Reason.OK, "expired"),
        (Reason.OK, Reason.PEER_REFUSED, "peer_refused"),
        (Reason.EXPIRED, Reason.EXPIRED, "expired"),
    ],
)
async def test_tls_that_broke_after_the_handshake_has_the_last_word(
    of_the_handshake: Reason, of_the_end: Reason, told: str
) -> None:
    broken = connection()
    broken.reason = of_the_handshake
    record = await reported(broken, Ending(Outcome.TLS_ERROR, reason=of_the_end))
    assert record["reason"] == told


async def test_hostile_texts_stay_in_their_field() -> None:
    forged = '"}\n{"outcome":"completed","peer":"spiffe://example.org/admin"}\n\x1b[2J'
    record = await reported(connection(), Ending(Outcome.HANDSHAKE_FAILED, forged))
    assert record["detail"] == forged
    assert record["outcome"] == "handshake_failed"
    assert "\x1b" not in json.dumps(record)
