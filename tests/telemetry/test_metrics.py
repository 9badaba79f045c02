from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.telemetry.capped import OTHER
from sidecar.telemetry.labels import Direction, Outcome, Reason, Verdict
from sidecar.telemetry.metrics import CONTENT_TYPE, Metrics

IN, OUT = Direction.INBOUND, Direction.OUTBOUND
ALICE = "spiffe://example.org/ns/shop/sa/alice"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def value(metrics: Metrics, name: str, /, **labels: str) -> float | None:
    """The value of one series as a scraper reads it; None when it is not there."""
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if (sample.name, sample.labels) == (name, labels):
                return float(sample.value)
    return None


def series(metrics: Metrics, name: str) -> list[dict[str, str]]:
    return [
        sample.labels
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if sample.name == name
    ]


# At start


@pytest.mark.parametrize(("direction", "outcome"), list(product(Direction, Outcome)))
def test_every_outcome_is_zero_at_start(
    metrics: Metrics, direction: Direction, outcome: Outcome
) -> None:
    labels = {"direction": direction.value, "outcome": outcome.value}
    assert value(metrics, "sidecar_connections_total", **labels) == 0


@pytest.mark.parametrize(("direction", "reason"), list(product(Direction, Reason)))
def test_every_reason_is_zero_at_start(
    metrics: Metrics, direction: Direction, reason: Reason
) -> None:
    labels = {
        "direction": direction.value,
        "reason": reason.value,
        "result": "ok" if reason is Reason.OK else "failed",
        "resumed": "false",
    }
    assert value(metrics, "sidecar_handshakes_total", **labels) == 0


def test_resumed_is_shown_only_where_it_can_be(metrics: Metrics) -> None:
    resumed = {
        labels["reason"]
        for labels in series(metrics, "sidecar_handshakes_total")
        if labels["resumed"] == "true"
    }
    assert {"ok", "revoked", "unexpected_peer"} < resumed
    assert resumed.isdisjoint({"plaintext", "timeout", "no_certificate"})


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("sidecar_connections_open", {"direction": "inbound"}),
        ("sidecar_received_bytes_total", {"direction": "outbound"}),
        ("sidecar_sent_bytes_total", {"direction": "inbound"}),
        (
            "sidecar_policy_decisions_total",
            {"direction": "inbound", "decision": "deny", "rule": "default"},
        ),
        (
            "sidecar_peer_connections_total",
            {"direction": "inbound", "peer": "other", "decision": "allow"},
        ),
        ("sidecar_reloads_total", {"what": "identity", "result": "failed"}),
        ("sidecar_generation", {"what": "policy"}),
        ("sidecar_svid_expiry_timestamp_seconds", {}),
        ("sidecar_access_records_dropped_total", {}),
        ("sidecar_handshake_seconds_count", {"direction": "inbound", "result": "ok"}),
    ],
)
def test_what_can_be_known_is_zero_at_start(
    metrics: Metrics, name: str, labels: dict[str, str]
) -> None:
    assert value(metrics, name, **labels) == 0


# Handshakes and connections


def test_a_handshake_is_counted_once_and_timed(metrics: Metrics) -> None:
    metrics.handshake_finished(IN, Reason.OK, resumed=True, seconds=0.003)
    of = {"direction": "inbound", "result": "ok"}
    counted = {**of, "reason": "ok", "resumed": "true"}
    assert value(metrics, "sidecar_handshakes_total", **counted) == 1
    assert value(metrics, "sidecar_handshake_seconds_sum", **of) == 0.003
    bucket = "sidecar_handshake_seconds_bucket"
    assert value(metrics, bucket, **of, le="0.002") == 0
    assert value(metrics, bucket, **of, le="0.005") == 1


def test_a_failed_handshake_is_counted_under_its_reason(metrics: Metrics) -> None:
    metrics.handshake_finished(OUT, Reason.REVOKED, resumed=False, seconds=11)
    of = {"direction": "outbound", "result": "failed"}
    counted = {**of, "reason": "revoked", "resumed": "false"}
    assert value(metrics, "sidecar_handshakes_total", **counted) == 1
    bucket = "sidecar_handshake_seconds_bucket"
    assert value(metrics, bucket, **of, le="10.0") == 0
    assert value(metrics, bucket, **of, le="+Inf") == 1


def test_a_handshake_that_nobody_expected_is_counted_too(metrics: Metrics) -> None:
    metrics.handshake_finished(IN, Reason.TIMEOUT, resumed=True, seconds=10)
    labels = {
        "direction": "inbound",
        "result": "failed",
        "reason": "timeout",
        "resumed": "true",
    }
    assert value(metrics, "sidecar_handshakes_total", **labels) == 1


def test_a_connection_is_open_until_it_is_closed(metrics: Metrics) -> None:
    metrics.connection_opened(IN)
    metrics.connection_opened(IN)
    assert value(metrics, "sidecar_connections_open", direction="inbound") == 2
    metrics.connection_closed(IN, Outcome.DENIED)
    assert value(metrics, "sidecar_connections_open", direction="inbound") == 1
    denied = {"direction": "inbound", "outcome": "denied"}
    assert value(metrics, "sidecar_connections_total", **denied) == 1


def test_bytes_are_counted_each_way(metrics: Metrics) -> None:
    metrics.add_bytes(OUT, 10, 2**40)
    metrics.add_bytes(OUT, 5, 0)
    assert value(metrics, "sidecar_received_bytes_total", direction="outbound") == 15
    assert value(metrics, "sidecar_sent_bytes_total", direction="outbound") == 2**40


def test_plaintext_is_counted_by_port_for_the_first_ports(metrics: Metrics) -> None:
    metrics.declare_ports(IN, [8080])
    name = "sidecar_plaintext_connections_total"
    assert value(metrics, name, direction="inbound", port="8080") == 0
    for port in range(1, 100):
        metrics.plaintext_connection(IN, port)
    metrics.plaintext_connection(IN, 8080)
    assert value(metrics, name, direction="inbound", port="8080") == 1
    assert value(metrics, name, direction="inbound", port=OTHER) == 99 - 63
    assert len(series(metrics, name)) == 65


def test_ports_of_one_direction_leave_the_other_its_labels(metrics: Metrics) -> None:
    for port in range(1, 100):
        metrics.plaintext_connection(OUT, port)
    metrics.plaintext_connection(IN, 8080)
    name = "sidecar_plaintext_connections_total"
    assert value(metrics, name, direction="inbound", port="8080") == 1


# Policy


def test_a_decision_is_counted_under_its_rule(metrics: Metrics) -> None:
    metrics.policy_decided(IN, Verdict.DRY_RUN_DENY, "no-scrapers")
    metrics.policy_decided(IN, Verdict.DENY, None)
    name = "sidecar_policy_decisions_total"
    dry = {"direction": "inbound", "decision": "dry_run_deny", "rule": "no-scrapers"}
    default = {"direction": "inbound", "decision": "deny", "rule": "default"}
    assert value(metrics, name, **dry) == 1
    assert value(metrics, name, **default) == 1


def test_a_declared_rule_is_zero_before_it_matches(metrics: Metrics) -> None:
    metrics.declare_rules(["a", "b"], verdicts=[Verdict.ALLOW])
    name = "sidecar_policy_decisions_total"
    labels = {"direction": "inbound", "decision": "allow", "rule": "b"}
    assert value(metrics, name, **labels) == 0
    metrics.policy_decided(IN, Verdict.ALLOW, "b")
    metrics.declare_rules(["b"], verdicts=[Verdict.ALLOW])
    assert value(metrics, name, **labels) == 1


def test_only_so_many_rules_get_a_label(metrics: Metrics) -> None:
    for number in range(300):
        metrics.policy_decided(IN, Verdict.ALLOW, f"rule-{number}")
    name = "sidecar_policy_decisions_total"
    other = {"direction": "inbound", "decision": "allow", "rule": OTHER}
    assert value(metrics, name, **other) == 100


def test_only_so_many_peers_get_a_label_and_none_is_forgotten(
    metrics: Metrics,
) -> None:
    metrics.peer_connected(IN, ALICE, Verdict.ALLOW)
    for number in range(1000):
        metrics.peer_connected(IN, f"spiffe://example.org/{number}", Verdict.ALLOW)
    metrics.peer_connected(IN, ALICE, Verdict.ALLOW)
    name = "sidecar_peer_connections_total"
    alice = {"direction": "inbound", "peer": ALICE, "decision": "allow"}
    assert value(metrics, name, **alice) == 2
    assert value(metrics, name, **{**alice, "peer": OTHER}) == 801
    assert len({labels["peer"] for labels in series(metrics, name)}) == 201


def test_endless_names_do_not_fill_the_memory(metrics: Metrics) -> None:
    for number in range(1000):
        metrics.peer_connected(IN, "x" * 256 + str(number), Verdict.ALLOW)
    assert len(metrics._peers) == 1


def test_a_hostile_name_cannot_forge_a_series(metrics: Metrics) -> None:
    name = 'dns:a"} 1\nsidecar_connections_open{direction="inbound"} 9\x1b[2J\ud800'
    metrics.peer_connected(IN, name, Verdict.DENY)
    page = metrics.render().decode()
    assert "\x1b" not in page
    assert value(metrics, "sidecar_connections_open", direction="inbound") == 0


# Operations


def test_expiry_dates_are_unix_time(metrics: Metrics) -> None:
    expiry = datetime(2030, 1, 1, tzinfo=UTC)
    metrics.svid_loaded(expiry - timedelta(hours=1), expiry)
    metrics.bundle_loaded("example.org", expiry)
    unix = 1893456000
    assert value(metrics, "sidecar_svid_expiry_timestamp_seconds") == unix
    not_before = "sidecar_svid_not_before_timestamp_seconds"
    assert value(metrics, not_before) == unix - 3600
    name = "sidecar_bundle_expiry_timestamp_seconds"
    assert value(metrics, name, trust_domain="example.org") == unix
    metrics.bundle_removed("example.org")
    assert value(metrics, name, trust_domain="example.org") is None


def test_reloads_and_generations_are_shown(metrics: Metrics) -> None:
    metrics.reloaded("policy", ok=False)
    metrics.generation("policy", 3)
    failed = {"what": "policy", "result": "failed"}
    assert value(metrics, "sidecar_reloads_total", **failed) == 1
    assert value(metrics, "sidecar_generation", what="policy") == 3


def test_the_limit_of_connections_is_shown(metrics: Metrics) -> None:
    metrics.connections_limited(500)
    metrics.connections_limited(200)
    assert value(metrics, "sidecar_connections_limit") == 200


def test_dropped_records_are_counted(metrics: Metrics) -> None:
    metrics.access_records_dropped(7)
    assert value(metrics, "sidecar_access_records_dropped_total") == 7


# Scraping


def test_callbacks_publish_just_before_a_scrape(metrics: Metrics) -> None:
    metrics.on_scrape(lambda: metrics.add_bytes(IN, 1, 2))
    assert value(metrics, "sidecar_sent_bytes_total", direction="inbound") == 2
    assert value(metrics, "sidecar_sent_bytes_total", direction="inbound") == 4


def test_parts_are_the_page_that_the_library_makes() -> None:
    registry = CollectorRegistry()
    page = Metrics(registry).render().decode()
    ours = [line for line in page.splitlines() if "process_" not in line]
    theirs = generate_latest(registry).decode().splitlines()
    assert ours == [line for line in theirs if "process_" not in line]


def test_the_process_is_measured(metrics: Metrics) -> None:
    assert (value(metrics, "process_resident_memory_bytes") or 0) > 1e6
    assert (value(metrics, "process_open_fds") or 0) > 0


def test_no_counter_drags_a_creation_date_along(metrics: Metrics) -> None:
    assert b"_created" not in metrics.render()


def test_the_content_type_is_the_text_format() -> None:
    assert CONTENT_TYPE.startswith("text/plain; version=")


def test_promtool_finds_nothing_to_complain_about(metrics: Metrics) -> None:
    metrics.handshake_finished(IN, Reason.OK, resumed=False, seconds=0.001)
    metrics.peer_connected(IN, 'dns:"odd\n\x1b', Verdict.ALLOW)
    metrics.declare_rules(["a rule"])
    metrics.declare_ports(IN, [80])
    metrics.bundle_loaded("example.org", datetime(2030, 1, 1, tzinfo=UTC))
    metrics.build_info("0.1.0", "3.11.7", "OpenSSL 3.5.0")
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: apt-get install prometheus"
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=metrics.render(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
