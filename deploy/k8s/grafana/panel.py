"""What a panel of the dashboard is: a value, which becomes JSON or a picture."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen

Unit: TypeAlias = Literal["short", "percentunit", "s", "Bps", "bytes", "cps", "none"]
Kind: TypeAlias = Literal["stat", "timeseries", "table"]


@frozen
class Query:
    """One question. `legend` names the labels of a series: `{{pod}}`."""

    expr: str
    legend: str


@frozen
class Panel:
    """One panel.

    Attributes:
        about: What is to be seen, for whoever does not know the metric.
        alarm: From which value on a number is red; below which, if `low_is_bad`.
        width: Of the 24 columns of a dashboard.
    """

    title: str
    about: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    kind: Kind = "timeseries"
    alarm: float | None = None
    low_is_bad: bool = False
    stacked: bool = False
    width: int = 8


@frozen
class Row:
    """Panels under a title."""

    title: str
    panels: tuple[Panel, ...]
