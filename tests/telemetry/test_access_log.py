from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, strategies as st

from sidecar.config.model import AccessLevel
from sidecar.telemetry.access_log import AccessLog, AccessRecord
from sidecar.telemetry.labels import Direction, Outcome, Reason, Verdict

if TYPE_CHECKING:
    from tests.telemetry.pipes import Pipe

any_text = st.none() | st.text(st.characters(exclude_categories=()), max_size=2000)


def full_record() -> AccessRecord:
    return AccessRecord(
        time=datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
        direction=Direction.INBOUND,
        outcome=Outcome.COMPLETED,
        reason=Reason.OK,
        peer="spiffe://example.org/ns/shop/sa/frontend",
        identity="spiffe://example.org/ns/shop/sa/api",
        source="10.0.0.1:53211",
        destination="10.0.0.2:8080",
        upstream="127.0.0.1:8080",
        rule="frontend-calls-api",
        decision=Verdict.ALLOW,
        received=1234,
        sent=0,
        seconds=0.123456789,
        tls_version="TLSv1.3",
        group="X25519MLKEM768",
        cipher="TLS_AES_128_GCM_SHA256",
        resumed=False,
        generation=3,
        detail="closed in order",
    )


def test_a_record_is_one_line_with_every_field() -> None:
    line = full_record().to_json()
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "time": "2026-01-02T03:04:05.678Z",
        "direction": "inbound",
        "outcome": "completed",
        "reason": "ok",
        "peer": "spiffe://example.org/ns/shop/sa/frontend",
        "identity": "spiffe://example.org/ns/shop/sa/api",
        "source": "10.0.0.1:53211",
        "destination": "10.0.0.2:8080",
        "upstream": "127.0.0.1:8080",
        "rule": "frontend-calls-api",
        "decision": "allow",
        "received": 1234,
        "sent": 0,
        "seconds": 0.123457,
        "tls_version": "TLSv1.3",
        "group": "X25519MLKEM768",
        "cipher": "TLS_AES_128_GCM_SHA256",
        "resumed": False,
        "generation": 3,
        "detail": "closed in order",
    }


def test_what_is_not_known_is_left_out() -> None:
    record = AccessRecord(direction=Direction.OUTBOUND, outcome=Outcome.NO_ROUTE)
    assert record.to_json() == b'{"direction":"outbound","outcome":"no_route"}\n'


@given(peer=any_text, rule=any_text, detail=any_text, upstream=any_text)
def test_hostile_names_stay_inside_their_field(
    peer: str | None, rule: str | None, detail: str | None, upstream: str | None
) -> None:
    record = AccessRecord(
        direction=Direction.INBOUND,
        peer=peer,
        rule=rule,
        detail=detail,
        upstream=upstream,
        generation=7,
    )
    line = record.to_json()
    assert len(line) <= 4096
    assert line.count(b"\n") == 1
    assert line[:-1].decode("ascii").isprintable()
    read = json.loads(line)
    assert read["direction"] == "inbound"
    assert read["generation"] == 7
    if peer is not None and len(peer) < 12:
        assert read["peer"] == peer


@pytest.mark.parametrize(
    ("access", "written"),
    [
        (AccessLevel.ALL, ["good", "bad"]),
        (AccessLevel.FAILURES, ["bad"]),
        (AccessLevel.NONE, []),
    ],
)
async def test_the_level_chooses_what_is_written(
    pipe: Pipe, access: AccessLevel, written: list[str]
) -> None:
    log = AccessLog(pipe.write_end, access, lambda _: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run)
        for detail in ("good", "bad"):
            record = AccessRecord(direction=Direction.INBOUND, detail=detail)
            if log.wants(failed=detail == "bad"):
                log.write(record)
        nursery.cancel_scope.cancel()
    lines = pipe.read().splitlines()
    assert [json.loads(line)["detail"] for line in lines] == written


async def test_the_level_can_change_while_it_runs(pipe: Pipe) -> None:
    log = AccessLog(pipe.write_end, AccessLevel.NONE, lambda _: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run)
        before = log.wants(failed=False)
        log.access = AccessLevel.ALL
        if log.wants(failed=False):
            log.write(full_record())
        nursery.cancel_scope.cancel()
    assert not before
    assert pipe.read() == full_record().to_json()


async def test_lost_records_are_counted(pipe: Pipe) -> None:
    lost: list[int] = []
    log = AccessLog(pipe.write_end, AccessLevel.ALL, lost.append)
    pipe.close_reader()
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run)
        log.write(full_record())
    log.write(full_record())
    assert sum(lost) == 2
