from __future__ import annotations

import json
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policytools.entry import Call
from sidecar.policytools.inbound import every_rule, judge
from sidecar.policytools.nearest import nearest
from sidecar.policytools.values import explanation_value
from tests.policytools.books import CART, FRONTEND, of_files, of_text

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.policytools.rulebook import Rulebook

HERE = ip_address("10.0.0.7")


def value(book: Rulebook, call: Call, most: int | None = None) -> dict[str, Any]:
    judgement = judge(book, call)
    said = nearest(every_rule(book, judgement), most)
    found = explanation_value(book, judgement, said)
    assert json.loads(json.dumps(found)) == found
    return found


def test_a_decision_is_told_with_rule_place_and_dry_run() -> None:
    assert value(of_text(), Call(SpiffeId.parse(CART), 8080), 1) == {
        "direction": "inbound",
        "decided_by": "policy.yaml",
        "verdict": "deny",
        "allowed": False,
        "peer": CART,
        "judged_as": CART,
        "port": 8080,
        "mode": None,
        "source": None,
        "handshake": None,
        "policy": {
            "verdict": "deny",
            "rule": None,
            "file": None,
            "line": None,
            "near_miss": "rule 'try-out' allows this but is a dry run",
            "dry_run": {
                "verdict": "allow",
                "rule": "try-out",
                "file": "policy.yaml",
                "line": 12,
            },
        },
        "plaintext": None,
        "rules": [
            {
                "name": "try-out",
                "action": "allow",
                "dry_run": True,
                "file": "policy.yaml",
                "line": 12,
                "effect": "would_decide",
                "misses": {},
            }
        ],
        "rules_left_out": 3,
        "notes": [],
    }


def test_the_handshake_and_both_ways_are_told_apart(tmp_path: Path) -> None:
    book = of_files(tmp_path)
    refused = value(book, Call(None, 8080))
    assert refused["handshake"] == {
        "reason": "no_certificate",
        "detail": "port 8080 is strict, and takes nobody without a certificate",
    }
    assert (refused["allowed"], refused["mode"]) == (False, "strict")
    both = value(book, Call(SpiffeId.parse(FRONTEND), 9090, HERE))
    assert both["plaintext"]["rule"] == "prometheus"
    assert both["source"] == "10.0.0.7"
    blind = value(book, Call(SpiffeId.parse(FRONTEND), 9091, HERE))
    assert (blind["peer"], blind["judged_as"]) == (FRONTEND, None)
    assert blind["notes"]


def test_every_miss_has_its_part() -> None:
    found = value(of_text(), Call(SpiffeId.parse(CART), 9000))
    assert found["rules"][0]["misses"].keys() == {"peer", "port"}
    assert found["rules_left_out"] == 0
