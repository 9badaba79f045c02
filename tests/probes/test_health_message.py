from __future__ import annotations

import contextlib

import pytest
from grpc_health.v1 import health_pb2
from hypothesis import given, strategies as st

from sidecar.probes.health_message import (
    MessageError,
    check_request,
    serving_status,
    status_name,
)


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


@given(service=st.text(max_size=200))
def test_a_request_is_what_the_library_of_grpc_reads(service: str) -> None:
    data = check_request(service)
    assert data == framed(data[5:])
    read = health_pb2.HealthCheckRequest.FromString(data[5:])
    assert read.service == service


@pytest.mark.parametrize("status", range(4))
def test_a_response_of_the_library_of_grpc_is_read(status: int) -> None:
    message = health_pb2.HealthCheckResponse(status=status)
    assert serving_status(framed(message.SerializeToString())) == status
    assert status_name(status) == health_pb2.HealthCheckResponse.ServingStatus.Name(
        status
    )


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"", 0),
        (b"\x08\x01", 1),
        (b"\x08\x02\x08\x01", 1),
        (b"\x12\x03abc\x08\x01", 1),
        (b"\x11" + b"8" * 8 + b"\x08\x01\x1d" + b"4" * 4, 1),
        (b"\x10\x01", 0),
        (b"\x08\xac\x02", 300),
    ],
    ids=[
        "default",
        "serving",
        "the last counts",
        "another field",
        "fixed fields",
        "another number",
        "unknown",
    ],
)
def test_fields_of_a_later_version_are_passed_over(message: bytes, status: int) -> None:
    assert serving_status(framed(message)) == status


def test_a_status_without_a_name_is_called_by_its_number() -> None:
    assert status_name(300) == "300"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\0",
        b"\0\0\0\0\x02\x08",
        b"\0\0\0\0\x00\x08",
        b"\x01\0\0\0\x00",
        framed(b"\x08"),
        framed(b"\x08" + b"\x80" * 12),
        framed(b"\x12\x05abc"),
        framed(b"\x11abc"),
        framed(b"\x0b"),
        framed(b"\x08\x01") * 2,
    ],
)
def test_what_is_no_single_whole_message_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        serving_status(data)


@given(data=st.binary(max_size=30) | st.binary(max_size=30).map(framed))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(MessageError):
        assert serving_status(data) >= 0


def test_a_long_name_has_a_length_of_more_than_one_byte() -> None:
    data = check_request("a" * 300)
    assert health_pb2.HealthCheckRequest.FromString(data[5:]).service == "a" * 300
