from __future__ import annotations

from prometheus_client import CollectorRegistry

from sidecar.supervisor.exposition import CAPS, family_of, metric_of
from sidecar.telemetry.labels import Direction, Reason
from sidecar.telemetry.metrics import Metrics, text_of


def test_the_page_of_one_process_is_the_same_by_way_of_values() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.build_info("1", "3", "o\n\"'")
    metrics.handshake_finished(Direction.INBOUND, Reason.OK, resumed=True, seconds=0.01)
    found = list(metrics.families())
    for metric in found:
        assert text_of(metric_of(family_of(metric))) == text_of(metric)
    assert CAPS.keys() < {metric.name for metric in found}
