"""Questions in PromQL that more than one panel asks, and parts of such."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from deploy.k8s.grafana.panel import Panel, Query

if TYPE_CHECKING:
    from deploy.k8s.grafana.panel import Unit

WHERE: Final = 'namespace=~"$namespace", pod=~"$pod"'
"""What every selector has: the variables of the dashboard."""


def of(metric: str, *more: str) -> str:
    """Select the series of a metric, by more labels if given."""
    return f"{metric}{{{', '.join([WHERE, *more])}}}"


def rate_of(metric: str, *more: str) -> str:
    """Ask how fast a counter grows."""
    return f"rate({of(metric, *more)}[$__rate_interval])"


def increase_of(metric: str) -> str:
    """Ask how often a rare thing happened."""
    return f"increase({of(metric)}[$__rate_interval])"


def sum_by(labels: str, what: str) -> str:
    """Add up all series with the same labels."""
    return f"sum by ({labels}) ({what})"


def one(expr: str, legend: str = "") -> tuple[Query, ...]:
    """Give the queries of a panel that has a single one."""
    return (Query(expr, legend),)


def stat(
    title: str, expr: str, unit: Unit, about: str, alarm: float | None = None
) -> Panel:
    """Make a panel of one large number."""
    return Panel(title, about, one(expr), unit, "stat", alarm=alarm, width=4)


EXPIRY: Final = of("sidecar_svid_expiry_timestamp_seconds")
LEFT: Final = f"{EXPIRY} - time()"
SHARE: Final = (
    f"({LEFT}) / ({EXPIRY} - {of('sidecar_svid_not_before_timestamp_seconds')})"
)
"""How much of its life a certificate has left."""

FAILED: Final = 'result="failed"'
DENIED: Final = 'outcome="denied"'
INBOUND: Final = 'direction="inbound"'
BUILD: Final = of("sidecar_build_info")
SIDECARS: Final = f"on (job, instance) group_left () max by (job, instance) ({BUILD})"
"""Multiplied by this, metrics that every process has are left to sidecars alone."""
