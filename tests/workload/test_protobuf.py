"""The wire format, against the library that everybody else uses."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sidecar.workload.protobuf import MessageError, last, last_text, read_fields
from tests.support.agent import messages

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(st.lists(st.binary(max_size=300)), st.dictionaries(TEXTS, st.binary()))
def test_what_protobuf_writes_is_read(
    crl: list[bytes], bundles: dict[str, bytes]
) -> None:
    message = messages.X509SVIDResponse(crl=crl, federated_bundles=bundles)
    fields = read_fields(message.SerializeToString())
    assert fields.get(2, []) == crl
    entries = [read_fields(each) for each in fields.get(3, [])]
    assert {last_text(each, 1): last(each, 2) for each in entries} == bundles
    assert fields.keys() <= {2, 3}


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_message_error(data: bytes) -> None:
    try:
        fields = read_fields(data)
    except MessageError:
        return
    assert sum(len(each) for field in fields.values() for each in field) <= len(data)


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1))
def test_a_message_that_is_cut_off_is_less_or_an_error(crl: list[bytes]) -> None:
    whole = messages.X509SVIDResponse(crl=crl).SerializeToString()
    for end in range(len(whole)):
        try:
            found = read_fields(whole[:end]).get(2, [])
        except MessageError:
            continue
        assert found == crl[: len(found)]
        assert len(found) < len(crl)


def test_fields_of_other_kinds_are_passed_over() -> None:
    number, double, single = "08ac02", "110102030405060708", "1d01020304"
    text = "2202" + b"ab".hex()
    assert read_fields(bytes.fromhex(number + double + single + text)) == {4: [b"ab"]}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("0a", "a number is cut off"),
        ("0a05616263", "field 1 is cut off"),
        ("0900", "field 1 is cut off"),
        ("ff" * 11, "too long"),
        ("0200", "must have a number"),
        ("0b", "known kind, got 3"),
        ("08", "a number is cut off"),
    ],
)
def test_what_is_no_message_is_said(data: str, why: str) -> None:
    with pytest.raises(MessageError, match=why):
        read_fields(bytes.fromhex(data))


def test_the_last_of_a_field_counts_and_none_is_empty() -> None:
    assert last({1: [b"a", b"b"]}, 1) == b"b"
    assert last({}, 1) == b""
    assert last_text({}, 1) == ""


def test_text_must_be_text() -> None:
    with pytest.raises(MessageError, match="field 1 must be text"):
        last_text({1: [b"\xff"]}, 1)
