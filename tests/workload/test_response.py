"""What agents answer, written by protobuf and read by us."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.workload.protobuf import MessageError
from sidecar.workload.response import SentSvid, X509SvidResponse
from tests.support.agent import messages

FIELDS = {
    "spiffe_id": "spiffe://example.org/a",
    "x509_svid": b"chain",
    "x509_svid_key": b"key",
    "bundle": b"bundle",
}


def svid(**changes: Any) -> Any:
    return messages.X509SVID(**(FIELDS | changes))


def parse(*svids: Any, **more: Any) -> X509SvidResponse:
    message = messages.X509SVIDResponse(svids=svids, **more)
    return X509SvidResponse.parse(message.SerializeToString())


def test_everything_that_was_sent_is_read() -> None:
    found = parse(
        svid(),
        svid(hint="internal"),
        crl=[b"1", b"2"],
        federated_bundles={"spiffe://partner.test": b"roots"},
    )
    first = SentSvid("spiffe://example.org/a", b"chain", b"key", b"bundle", "")
    second = SentSvid("spiffe://example.org/a", b"chain", b"key", b"bundle", "internal")
    assert found == X509SvidResponse(
        (first, second), (b"1", b"2"), {"spiffe://partner.test": b"roots"}
    )


def test_what_may_be_absent_is_empty() -> None:
    found = parse(svid())
    assert (found.crls, found.federated_bundles) == ((), {})


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_must_be_there_is_missed(name: str) -> None:
    empty = type(FIELDS[name])()
    with pytest.raises(MessageError, match="SVID 2: must have spiffe_id, "):
        parse(svid(), svid(**{name: empty}))


def test_an_answer_without_an_svid_is_none() -> None:
    with pytest.raises(MessageError, match="at least one SVID, got none"):
        parse()


def test_the_key_is_nowhere_in_what_is_printed() -> None:
    assert "key" not in repr(parse(svid())).replace("private_key", "")


@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_a_message_error(data: bytes) -> None:
    try:
        found = X509SvidResponse.parse(data)
    except MessageError:
        return
    assert found.svids


def test_every_prefix_is_an_answer_or_a_message_error() -> None:
    message = messages.X509SVIDResponse(
        svids=[svid(hint="h")], crl=[b"1"], federated_bundles={"spiffe://b": b"r"}
    )
    whole = message.SerializeToString()
    for end in range(len(whole)):
        try:
            X509SvidResponse.parse(whole[:end])
        except MessageError:
            continue
