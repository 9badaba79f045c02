from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.policytools.question import Asked, QuestionError, parse_question
from sidecar.policytools.record import asked_by
from sidecar.telemetry.access_log import AccessRecord
from sidecar.telemetry.labels import Direction, Outcome, Reason
from tests.policytools.books import CART


def line(**known: Any) -> str:
    given = {"direction": Direction.INBOUND, "destination": "127.0.0.1:8080", **known}
    return AccessRecord(time=datetime.now(UTC), **given).to_json().decode()


def refused(text: str) -> str:
    with pytest.raises(QuestionError) as raised:
        asked_by(text)
    return str(raised.value)


def test_a_record_asks_about_its_connection() -> None:
    text = line(peer=CART, source="10.0.0.7:4711", outcome=Outcome.DENIED)
    asked = asked_by(text)
    assert asked == Asked(peers=(CART,), port="8080", source="10.0.0.7")
    assert str(parse_question(asked).peer) == CART


def test_the_last_record_of_a_log_counts() -> None:
    first, last = line(peer="x", source="[::1]:1"), line(peer=CART, source="[::1]:1")
    expected = Asked(peers=(CART,), port="8080", source="::1")
    assert asked_by(f"{first}\nno record\n{last}\n\n") == expected


def test_plaintext_is_unauthenticated_and_an_address_has_no_zone() -> None:
    text = line(source="[fe80::1%eth0]:1", destination="[::1]:9090")
    expected = Asked(unauthenticated=True, port="9090", source="fe80::1")
    assert asked_by(text) == expected


@pytest.mark.parametrize("peer", [None, CART])
def test_what_the_application_called_is_asked_for_its_route(peer: str | None) -> None:
    text = line(direction=Direction.OUTBOUND, destination="api.test:80", peer=peer)
    expected = Asked(to="api.test:80", peers=(peer,) if peer else ())
    assert asked_by(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "--record: expected an access record, one line of JSON, got nothing"),
        ("x", "one line of JSON, got 'x'"),
        ("[" * 100_000, "one line of JSON, got '[[["),
        ("1", "one line of JSON, got '1'"),
        ("{}", "direction: expected text, got nothing"),
        (json.dumps({"direction": "up"}), "expected inbound or outbound, got 'up'"),
        (json.dumps({"direction": "inbound"}), "destination: missing: the connection"),
        (line(peer=CART), "source: expected text, got nothing"),
        (line(peer="dns:a..."), "peer: the record has a part of it (give --peer)"),
        (
            line(
                outcome=Outcome.HANDSHAKE_FAILED,
                reason=Reason.EXPIRED,
                detail="certificate: expired",
            ),
            "peer: missing, as its handshake failed ('expired': 'certificate: expired')",
        ),
    ],
)
def test_what_asks_nothing_is_told_why(text: str, said: str) -> None:
    assert said in refused(text)


json_values = st.recursive(
    st.none() | st.integers() | st.text(), st.lists, max_leaves=3
)


@given(
    st.dictionaries(
        st.sampled_from(["direction", "destination", "peer", "source", "outcome"]),
        json_values | st.sampled_from([*Direction, "a:1"]),
    )
)
def test_no_record_causes_another_error(record: dict[str, Any]) -> None:
    with contextlib.suppress(QuestionError):
        asked_by(json.dumps(record))


@given(st.text())
def test_no_text_causes_another_error(text: str) -> None:
    with contextlib.suppress(QuestionError):
        asked_by(text)
