from __future__ import annotations

import json

import pytest

from bench.compare.report import report
from bench.compare.results import Failure, Look, Results, Sample
from bench.compare.run import objection
from bench.wire.probe import Seen
from bench.work.catalogue import all_work

WORKS = all_work()
FULL, RESUMED = WORKS["connections-full"], WORKS["connections-resumed"]


def look(*, resumed: float = 0.9, full: float = 0.0, strangers: str = "") -> Look:
    return Look(
        "1.0",
        "SPIFFE ID",
        strangers.split(),
        full=Seen("TLS 1.3", "X25519", "AES-256-GCM", 100, full),
        resumed=Seen("TLS 1.3", "X25519", "AES-256-GCM", 100, resumed),
    )


@pytest.fixture
def results() -> Results:
    results = Results([WORKS["download"]], "sidecar", "envoy")
    results.looks.update({"sidecar": look(), "envoy": look()})
    for turn, (ours, theirs) in enumerate([(1.0, 2.0), (1.2, 2.0), (2.2, 4.0)]):
        for proxy, value in (("sidecar", ours), ("envoy", theirs)):
            values = {"cpu_s_per_gb": value, "gb_per_s": 1.0}
            results.samples.append(Sample(proxy, "download", turn, values))
    return results


def cells(text: str, line_with: str) -> list[str]:
    line = next(line for line in text.split("\n") if line_with in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_has_medians_their_spread_and_the_ratio(results: Results) -> None:
    row = cells(report(results), "CPU s per GB")
    assert row[0] == "bulk download"
    assert row[2:] == ["1.20 ±50%", "2.00 ±50%", "0.55 ± 9%"]


def test_work_that_failed_says_so_and_why(results: Results) -> None:
    results.looks["nginx"] = look()
    for turn in range(3):
        failure = Failure("nginx", "download", turn, "nginx ended", tried=True)
        results.failures.append(failure)
    text = report(results)
    assert cells(text, "CPU s per GB")[4] == "failed"
    assert text.count("- nginx, bulk download: nginx ended") == 1


def test_work_that_does_not_apply_is_not_a_failure(results: Results) -> None:
    results.looks["nginx"] = look()
    failure = Failure("nginx", "download", 0, "does not", tried=False)
    results.failures.append(failure)
    assert cells(report(results), "CPU s per GB")[4] == "none"


def test_a_proxy_that_is_not_there_is_named_with_the_reason(results: Results) -> None:
    results.absent["stunnel"] = "stunnel is not installed: apt-get install stunnel4"
    text = report(results)
    assert text.endswith(
        "- stunnel: stunnel is not installed: apt-get install stunnel4"
    )
    assert "stunnel" not in text.split("Not measured")[0]


def test_without_the_other_there_are_no_ratios(results: Results) -> None:
    del results.looks["envoy"]
    assert "sidecar / envoy" not in report(results)
    assert cells(report(results), "CPU s per GB")[2:] == ["1.20 ±50%"]


def test_a_proxy_that_lets_strangers_in_is_shown_up(results: Results) -> None:
    results.looks["envoy"] = look(strangers="server")
    text = report(results)
    assert "NOT on the server's side" in cells(text, "| envoy")[4]
    assert cells(text, "| sidecar")[4] == "on both sides"


def test_nothing_at_all_is_an_empty_report() -> None:
    assert report(Results([], "sidecar", "envoy")) == ""


def test_everything_is_in_the_json(results: Results) -> None:
    results.absent["stunnel"] = "not installed"
    value = json.loads(json.dumps(results.as_json()))
    assert value["proxies"]["envoy"]["full"]["group"] == "X25519"
    assert value["summary"][0] == {
        "work": "download",
        "measure": "cpu_s_per_gb",
        "figures": {
            "sidecar": {"median": 1.2, "low": 1.0, "high": 2.2, "rounds": 3},
            "envoy": {"median": 2.0, "low": 2.0, "high": 4.0, "rounds": 3},
        },
        "ratio": {"median": 0.55, "low": 0.5, "high": 0.6, "rounds": 3},
    }
    assert len(value["samples"]) == 6
    assert (value["absent"], value["failures"]) == ({"stunnel": "not installed"}, [])


def test_handshakes_that_resume_are_not_measured_as_full_ones() -> None:
    assert objection(FULL, look()) is None
    reason = objection(FULL, look(full=0.25))
    assert reason == "resumes 25% of its sessions unasked"


def test_a_proxy_that_does_not_resume_is_not_measured_as_if_it_did() -> None:
    assert objection(RESUMED, look()) is None
    assert objection(RESUMED, look(resumed=0)) == "does not resume sessions"


def test_resumption_matters_only_to_new_connections() -> None:
    others = [work for work in WORKS.values() if work not in {FULL, RESUMED}]
    bad = look(resumed=0, full=1)
    assert [objection(work, bad) for work in others] == [None] * len(others)
