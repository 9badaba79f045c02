from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest
import trio
from attrs import frozen
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from hypothesis import given, settings, strategies as st

from sidecar.config.app_probes import GrpcProbe
from sidecar.probes.answer import Answer, ProbeFailed
from sidecar.probes.grpc_health import check, is_possible
from tests.probes.applications import application

if TYPE_CHECKING:
    from collections.abc import Iterator


@frozen
class Healthy:
    """A real gRPC server with the health service of grpc.io."""

    port: int
    servicer: health.HealthServicer


@pytest.fixture(scope="module")
def healthy() -> Iterator[Healthy]:
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        servicer = health.HealthServicer()
        servicer.set("", HealthCheckResponse.SERVING)
        servicer.set("shop", HealthCheckResponse.NOT_SERVING)
        servicer.set("new", HealthCheckResponse.UNKNOWN)
        servicer.set("s" * 20_000, HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield Healthy(port, servicer)
        server.stop(0).wait()


async def ask(port: int, service: str = "") -> Answer:
    with trio.fail_after(10):
        return await check(GrpcProbe(port, service), "127.0.0.1", "kube-probe/1.35")


def test_it_is_possible_where_h2_is_installed() -> None:
    assert is_possible()


async def test_a_server_that_serves_is_well(healthy: Healthy) -> None:
    assert await ask(healthy.port) == Answer(200, b"SERVING")


async def test_a_name_longer_than_a_frame_is_sent_whole(healthy: Healthy) -> None:
    assert await ask(healthy.port, "s" * 20_000) == Answer(200, b"SERVING")


async def test_a_name_longer_than_anybody_takes_unasked_is_refused(
    healthy: Healthy,
) -> None:
    with pytest.raises(ProbeFailed, match="too long"):
        await ask(healthy.port, "s" * 70_000)


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ("shop", b"service unhealthy: responded with NOT_SERVING"),
        ("new", b"service unhealthy: responded with UNKNOWN"),
        ("nobody", b"service unhealthy: gRPC status 5"),
    ],
)
async def test_a_service_that_does_not_serve_is_not(
    healthy: Healthy, service: str, why: bytes
) -> None:
    assert await ask(healthy.port, service) == Answer(503, why)


async def test_a_server_without_the_health_service_is_not() -> None:
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            answer = await ask(port)
        finally:
            server.stop(0).wait()
    assert answer.status == 503
    assert b"does not implement grpc.health.v1.Health" in answer.body


PREFACE = bytes.fromhex("000000040000000000")  # an empty SETTINGS


def headers(block: bytes, *, end: bool) -> bytes:
    flags = b"\x05" if end else b"\x04"
    return len(block).to_bytes(3, "big") + b"\x01" + flags + b"\0\0\0\x01" + block


def literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def data(content: bytes) -> bytes:
    return len(content).to_bytes(3, "big") + b"\0\0\0\0\0\x01" + content


STATUS_200 = b"\x88"  # RFC 7541, A: entry 8
FINE = headers(literal(b"grpc-status", b"0"), end=True)


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (headers(b"\x8d", end=True), "HTTP status 404"),
        (headers(STATUS_200, end=True), "gRPC status missing"),
        (
            headers(
                STATUS_200
                + literal(b"grpc-status", b"14")
                + literal(b"grpc-message", b"later"),
                end=True,
            ),
            "gRPC status 14 later",
        ),
    ],
)
async def test_an_answer_that_is_not_well_says_why(frames: bytes, why: str) -> None:
    async with application(PREFACE + frames, closes=False) as app:
        answer = await ask(app.port)
    assert answer == Answer(503, f"service unhealthy: {why}".encode())


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (b"", "ended before it was complete"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "broken answer"),
        (PREFACE + headers(STATUS_200, end=False) + FINE, "expected one message"),
        (
            PREFACE + headers(STATUS_200, end=False) + data(b"a" * 9000) * 2,
            "too long",
        ),
        (PREFACE + bytes.fromhex("00000403000000000100000007"), "HTTP/2 error 7"),
        (PREFACE + bytes.fromhex("000008070000000000" + "00" * 7 + "01"), "error 1"),
    ],
    ids=["nothing", "http/1", "no message", "flood", "reset", "goaway"],
)
async def test_what_is_no_answer_is_a_failure(frames: bytes, why: str) -> None:
    async with application(frames) as app:
        with pytest.raises(ProbeFailed, match=why):
            await ask(app.port)


async def test_a_connection_given_up_after_the_answer_is_no_failure() -> None:
    message = data(b"\0\0\0\0\x02\x08\x01")
    goaway = bytes.fromhex("000008070000000000" + "00" * 3 + "01" + "00" * 4)
    frames = headers(STATUS_200, end=False) + message + FINE + goaway
    async with application(PREFACE + frames) as app:
        assert await ask(app.port) == Answer(200, b"SERVING")


@settings(max_examples=30)
@given(frames=st.binary(max_size=60), preface=st.booleans())
def test_whatever_a_server_says_is_an_answer_or_a_failure(
    frames: bytes, *, preface: bool
) -> None:
    async def attempt() -> None:
        async with application((PREFACE if preface else b"") + frames) as app:
            with contextlib.suppress(ProbeFailed):
                assert (await ask(app.port)).status in {200, 503}

    trio.run(attempt)  # noqa: TID251 - hypothesis calls plain functions
