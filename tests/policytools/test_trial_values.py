from __future__ import annotations

import json

from sidecar.policytools.trial_values import trial_value
from tests.policytools.test_trial_text import ALLOWED, DENIED, WAY, of_routes, trial


def test_every_case_is_told_and_failures_are_explained() -> None:
    found = trial_value([trial(ALLOWED, DENIED)])
    assert json.loads(json.dumps(found)) == found
    assert found["ok"] is False
    (file,) = found["files"]
    assert (file["file"], file["decided_by"], file["failed"]) == (
        "cases.yaml",
        "policy.yaml",
        1,
    )
    good, bad = file["cases"]
    assert good == {
        "name": "good",
        "line": 2,
        "ok": True,
        "wrong": None,
        "explanation": None,
    }
    assert bad["wrong"] == "expected allow, got deny by default"
    assert bad["explanation"]["policy"]["dry_run"]["rule"] == "try-out"
    assert found["coverage"] == [
        {
            "decided_by": "policy.yaml",
            "rules": 4,
            "undecided": [
                {"name": "prometheus", "file": "policy.yaml", "line": 7},
                {"name": "no-batch", "file": "policy.yaml", "line": 16},
            ],
            "routes": 0,
            "untaken": [],
        }
    ]


def test_where_all_hold_it_is_ok() -> None:
    assert trial_value([trial(ALLOWED)])["ok"] is True


def test_a_way_is_explained_as_explain_does() -> None:
    found = trial_value([of_routes(WAY)])
    assert json.loads(json.dumps(found)) == found
    ((case,),) = (file["cases"] for file in found["files"])
    (way,) = case["explanation"]
    assert (way["direction"], way["mode"], way["route"]) == (
        "outbound",
        "plaintext",
        "old",
    )
    (coverage,) = found["coverage"]
    assert coverage["routes"] == 3
    assert [each["name"] for each in coverage["untaken"]] == ["api", "no"]
