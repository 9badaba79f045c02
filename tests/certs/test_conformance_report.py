"""What `sidecar certs conformance` prints."""

from __future__ import annotations

import json

from sidecar.certs.conformance import CASES
from sidecar.certs.conformance_report import (
    as_json,
    by_clause,
    listing,
    listing_json,
    summary,
    text,
)
from sidecar.certs.observation import BAD, GOOD, End, Judged, Observation

BY_NAME = {case.name: case for case in CASES}
ANSWERED = Observation(End.ANSWERED, tls="TLSv1.3")
ALERT = Observation(End.ALERT, "unknown_ca", "TLSv1.3")

RIGHT = [
    Judged(BY_NAME[BAD], ALERT, accepted=False),
    Judged(BY_NAME[GOOD], ANSWERED, accepted=True),
]
WRONG = [
    Judged(BY_NAME[BAD], ANSWERED, accepted=True),
    Judged(BY_NAME[GOOD], ALERT, accepted=False),
    Judged(BY_NAME["expired"], Observation(End.TIMEOUT), None),
]


def test_clauses_are_in_the_order_of_their_documents() -> None:
    clauses = [case.clause for case in by_clause(CASES)]
    assert clauses.index("RFC 5280 4.2") < clauses.index("RFC 5280 4.2.1.9")
    assert clauses.index("SPIFFE-ID 2.1") < clauses.index("X509-SVID 2")
    assert len(clauses) == len(CASES)


def test_a_listing_has_every_case_once() -> None:
    lines = listing(CASES).splitlines()
    assert len(lines) == len(CASES)
    assert [line for line in lines if "needs --crl" in line and " revoked" in line]
    values = json.loads(listing_json(CASES))
    assert {value["name"] for value in values} == BY_NAME.keys()
    assert {value["expected"] for value in values} == {"accepted", "refused"}


def test_what_is_right_is_said_below_its_clause() -> None:
    lines = text("here:1", RIGHT).splitlines()
    assert lines[0] == "here:1, TLSv1.3"
    assert lines[1] == "X509-SVID 2"
    assert lines[2].split()[:4] == ["ok", GOOD, "accepted", "(answered)"]
    assert lines[4].split()[:4] == ["ok", BAD, "refused", "(alert"]
    assert lines[-1] == "2 of 2 cases as the standard says"


def test_what_is_wrong_says_what_it_must_be() -> None:
    printed = text("here:1", WRONG)
    assert printed.count("WRONG") == 3
    assert "must be accepted: what the standard asks" in printed
    assert "must be refused: a leaf that is expired" in printed


def test_the_kinds_of_wrong_are_counted() -> None:
    assert summary(WRONG) == (
        "0 of 3 cases as the standard says; 1 bad accepted, 1 good refused, 1 unclear"
    )
    assert summary([*RIGHT, WRONG[2]]).endswith("; 1 unclear")


def test_no_connection_has_no_version() -> None:
    nothing = Judged(BY_NAME[GOOD], Observation(End.FAILED), None)
    assert text("here:1", [nothing]).startswith("here:1\n")


def test_json_says_the_same() -> None:
    value = json.loads(as_json("here:1", [*RIGHT, *WRONG]))
    assert value["target"] == "here:1"
    assert value["summary"] == {
        "cases": 5,
        "as_the_standard_says": 2,
        "bad_accepted": 1,
        "good_refused": 1,
        "unclear": 1,
    }
    last = next(each for each in value["cases"] if each["name"] == "expired")
    assert (last["expected"], last["got"], last["end"]) == (
        "refused",
        "unclear",
        "timeout",
    )
