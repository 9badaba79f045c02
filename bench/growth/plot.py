"""A line for each series, by the number of items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.growth.series import Series

_COLOUR: Final = "#c44e52"
_REFERENCE: Final = "#8c9bb0"


def plot(series: Sequence[Series], path: Path) -> None:
    """Draw each in a panel of its own, to one PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - a run can do without

    figure = Figure(figsize=(4.2 * len(series), 3.2), layout="constrained")
    panels = figure.subplots(1, len(series), squeeze=False)[0]
    for axis, each in zip(panels, series, strict=True):
        _draw(axis, each)
    figure.savefig(path, dpi=120)


def _draw(axis: Any, series: Series) -> None:
    axis.plot(series.sizes, series.values, "o-", color=_COLOUR)
    axis.set_xscale("log")
    if series.each:
        axis.set_ylim(0, max(series.values) * 1.15)
    else:
        axis.set_yscale("log")
        size, value = series.sizes[-1], series.values[-1]
        line = [value * each / size for each in series.sizes[-2:]]
        axis.plot(series.sizes[-2:], line, ":", color=_REFERENCE, label="linear")
        axis.legend(fontsize=8, frameon=False)
    axis.set_xticks(series.sizes, [f"{size:,}" for size in series.sizes])
    axis.minorticks_off()
    axis.set_xlabel(series.against, fontsize=9)
    axis.set_ylabel(series.measure.title, fontsize=9)
    axis.set_title(f"{series.title}\n{series.verdict()}", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
