"""Between Prometheus' own objects and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.metrics_core import Metric

from sidecar.supervisor.family import Family
from sidecar.supervisor.merge import Cap
from sidecar.telemetry.capped import PEERS, PORTS, RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

# The default, which is no rule, has its series beside those of the rules.
CAPS: Final[Mapping[str, Cap]] = {
    "sidecar_peer_connections": Cap("peer", PEERS),
    "sidecar_policy_decisions": Cap("rule", RULES + 1),
    "sidecar_plaintext_connections": Cap("port", PORTS, apart=("direction",)),
}
"""The limits that every process keeps by itself hold for all of them together."""


def family_of(metric: Metric) -> Family:
    """Take a metric of a registry as a value."""
    series = {
        (each.name, tuple(each.labels.items())): float(each.value)
        for each in metric.samples
    }
    return Family(metric.name, metric.type, metric.documentation, series)


def metric_of(family: Family) -> Metric:
    """Give a value as Prometheus' encoder wants it."""
    metric = Metric(family.name, family.about, family.kind)
    for (name, labels), value in family.items():
        metric.add_sample(name, dict(labels), value)
    return metric
