"""The comparison as small bar charts: the first measure of each work."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from bench.compare.results import Results
    from bench.work.work import Work

_COLUMNS: Final = 3
_OURS: Final = "#c44e52"
_OTHERS: Final = "#8c9bb0"


def plot(results: Results, path: Path) -> None:
    """Draw the medians, and the range of the rounds, to a PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - a run can do without

    rows = math.ceil(len(results.works) / _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, 2.6 * rows), layout="constrained")
    axes = list(figure.subplots(rows, _COLUMNS, squeeze=False).flat)
    for axis in axes:
        axis.set_axis_off()
    for axis, work in zip(axes, results.works, strict=False):
        axis.set_axis_on()
        _draw(axis, work, results)
    figure.savefig(path, dpi=120)


def _draw(axis: Any, work: Work, results: Results) -> None:
    measure = work.measures[0]
    figures = {
        proxy: figure
        for proxy in results.proxies
        if (figure := results.figure(proxy, work.name, measure.key))
    }
    medians = [figure.median for figure in figures.values()]
    ranges = [
        [figure.median - figure.low for figure in figures.values()],
        [figure.high - figure.median for figure in figures.values()],
    ]
    colours = [_OURS if proxy == results.ours else _OTHERS for proxy in figures]
    axis.barh(list(figures), medians, xerr=ranges, color=colours, capsize=2)
    axis.invert_yaxis()
    axis.set_title(f"{work.title}\n{measure.title}", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
