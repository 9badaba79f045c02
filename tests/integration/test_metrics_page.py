"""The page that Prometheus reads, from a sidecar that runs."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from OpenSSL import SSL

from sidecar.telemetry.labels import Direction, Outcome, Reason
from tests.integration.callers import ANSWER, ask, tcp
from tests.integration.conftest import FRONTEND, Application, Town, data_port
from tests.support.pki import new_authority
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sidecars import Sidecar

# Public: dashboards and alerts name them.
NAMES = {
    "sidecar_access_records_dropped_total",
    "sidecar_build_info",
    "sidecar_bundle_expiry_timestamp_seconds",
    "sidecar_connections_limit",
    "sidecar_connections_open",
    "sidecar_connections_total",
    "sidecar_generation",
    "sidecar_handshake_seconds_bucket",
    "sidecar_handshakes_total",
    "sidecar_peer_connections_total",
    "sidecar_plaintext_connections_total",
    "sidecar_policy_decisions_total",
    "sidecar_received_bytes_total",
    "sidecar_reloads_total",
    "sidecar_sent_bytes_total",
    "sidecar_svid_expiry_timestamp_seconds",
    "sidecar_svid_not_before_timestamp_seconds",
}


@pytest.fixture
def api(town: Town, application: Application) -> Iterator[Sidecar]:
    inbound = {"ports": {application.port + 1: {"mode": "permissive"}}}
    limits = {"connections": 500}
    with town.server(application.port, inbound=inbound, limits=limits) as api:
        yield api


def promtool(page: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [require("promtool"), "check", "metrics"],
        input=page,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def page_of(sidecar: Sidecar) -> str:
    status, page = sidecar.get("/metrics")
    assert status == 200
    return page


def test_promtool_finds_nothing_wrong(town: Town, api: Sidecar) -> None:
    fresh = promtool(page_of(api))
    assert ask(data_port(api), town.svid(FRONTEND)).endswith(ANSWER)
    with pytest.raises(SSL.Error):
        ask(data_port(api), None)
    used = promtool(page_of(api))
    for checked in (fresh, used):
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_promtool_would_find_something() -> None:
    assert promtool("# TYPE x counter\nx 1\n").returncode != 0


def test_every_metric_is_there_before_the_first_connection(
    api: Sidecar, application: Application
) -> None:
    samples = api.metrics()
    assert samples.names() >= NAMES
    for direction in Direction:
        for reason in Reason:
            name = "sidecar_handshakes_total"
            assert samples.sum(name, direction=direction, reason=reason) == 0
        for outcome in Outcome:
            name = "sidecar_connections_total"
            assert samples.sum(name, direction=direction, outcome=outcome) == 0
        for name in (
            "sidecar_connections_open",
            "sidecar_handshake_seconds_count",
            "sidecar_policy_decisions_total",
            "sidecar_received_bytes_total",
            "sidecar_sent_bytes_total",
        ):
            assert samples.sum(name, direction=direction) == 0
    rules = {"decision": "allow", "rule": "frontend"}
    assert samples.sum("sidecar_policy_decisions_total", **rules) == 0
    port = str(application.port + 1)
    assert samples.sum("sidecar_plaintext_connections_total", port=port) == 0
    for what in ("config", "policy", "identity"):
        assert samples.sum("sidecar_generation", what=what) == 1
        for result in ("ok", "failed"):
            labels = {"what": what, "result": result}
            assert samples.sum("sidecar_reloads_total", **labels) == 0
    assert samples["sidecar_build_info"] == 1
    assert samples["sidecar_connections_limit"] == 500
    assert samples["sidecar_svid_expiry_timestamp_seconds"] > 1e9
    bundle = {"trust_domain": "example.org"}
    assert samples.sum("sidecar_bundle_expiry_timestamp_seconds", **bundle) > 1e9


def test_a_call_is_counted_where_it_belongs(town: Town, api: Sidecar) -> None:
    assert ask(data_port(api), town.svid(FRONTEND)).endswith(ANSWER)
    record = api.wait_for_records(1)[0]
    samples = api.metrics()

    def inbound(name: str, **labels: str) -> float:
        return samples.sum(f"sidecar_{name}", direction="inbound", **labels)

    ok = {"result": "ok", "reason": "ok", "resumed": "false"}
    assert inbound("handshakes_total", **ok) == inbound("handshakes_total") == 1
    assert inbound("handshake_seconds_count", result="ok") == 1
    assert inbound("connections_total", outcome="completed") == 1
    assert inbound("policy_decisions_total", decision="allow", rule="frontend") == 1
    assert inbound("peer_connections_total", peer=FRONTEND, decision="allow") == 1
    assert inbound("received_bytes_total") == record["received"] > 0
    assert inbound("sent_bytes_total") == record["sent"] > 0
    assert inbound("connections_open") == 0


def test_strangers_add_no_series(town: Town, api: Sidecar) -> None:
    """Whatever they call themselves, and however they fail."""
    port = data_port(api)
    before = series(api)
    foreign = new_authority("partner.test")
    elsewhere = Town(town.folder, foreign)
    impostor = Town(town.folder, new_authority("example.org"))
    for number in range(10):
        name = f"stranger-{number}"
        for pair in (
            elsewhere.svid(f"/ns/x/sa/{name}", name=name),
            impostor.svid(f"/ns/x/sa/{name}", name=f"impostor-{number}"),
            None,
        ):
            with pytest.raises(SSL.Error):
                ask(port, pair)
        for junk in (b"GET / HTTP/1.1\r\n\r\n", bytes([22, 3, 1, 0, number, 1]), b""):
            with tcp(port) as sock, suppress(ConnectionError):
                sock.sendall(junk)
    api.wait_for_records(60)
    assert series(api) == before
    assert api.metrics().sum("sidecar_handshakes_total", result="failed") == 60


def test_peers_who_are_known_and_denied_add_a_bounded_number(
    town: Town, api: Sidecar
) -> None:
    port = data_port(api)
    for number in range(210):
        name = f"w{number}"
        with pytest.raises(SSL.Error):
            ask(port, town.svid(f"/ns/shop/sa/{name}", name=name))
    samples = api.metrics()
    peers = {
        labels
        for name, labels in samples.values
        if name == "sidecar_peer_connections_total"
        and ("direction", "inbound") in labels
        and ("decision", "deny") in labels
    }
    assert len(peers) == 201
    assert samples.sum("sidecar_peer_connections_total", peer="other") == 10
    assert samples.sum("sidecar_peer_connections_total", decision="deny") == 210


def series(sidecar: Sidecar) -> set[Any]:
    return set(sidecar.metrics().values)
