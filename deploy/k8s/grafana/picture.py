"""Draw the dashboard from what a Prometheus answers, for those who have no Grafana.

    python -m deploy.k8s.grafana.picture http://localhost:9090 mesh.png [SECONDS]

Draws the last hour, or so many seconds. Needs matplotlib.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from deploy.k8s.grafana.dashboard import dashboard

if TYPE_CHECKING:
    from collections.abc import Mapping

_POINTS: Final = 120
_UNIT_INCHES: Final = 0.62
_COLOURS: Final = 128
"""Of the PNG: lines and letters need no more."""
_LEGEND_LINES: Final = 4
_RED, _GREEN, _BLUE = "#c4413f", "#3a8a4d", "#33568a"
_SCALES: Final = {
    "s": ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")),
    "bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")),
    "Bps": ((1e6, "MB/s"), (1e3, "kB/s"), (1, "B/s")),
    "cps": ((1, "/s"),),
    "percentunit": ((0.01, "%"),),
}


@frozen
class Source:
    """A Prometheus, and the time of which it is asked."""

    url: str
    begin: float
    end: float

    def ask(self, target: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Give the series of one query of a panel, with their points as `values`."""
        step = max((self.end - self.begin) / _POINTS, 1)
        # As Grafana has it: four scrapes, or what a point stands for.
        window = f"{max(math.ceil(step * 4), 10)}s"
        expr = target["expr"].replace("$__rate_interval", window)
        expr = re.sub(r"\$(namespace|pod)\b", ".*", expr)
        if target["instant"]:
            found = self._get("query", query=expr, time=self.end)
            return [{**each, "values": [each["value"]]} for each in found]
        span = {"start": self.begin, "end": self.end, "step": step}
        return self._get("query_range", query=expr, **span)

    def _get(self, path: str, **words: object) -> list[dict[str, Any]]:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result


def draw(source: Source, path: Path) -> None:
    """Draw every panel in its place, to a PNG.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: There is no such Prometheus, or no such folder.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - nothing else needs it
    from PIL import Image  # noqa: PLC0415 - comes with matplotlib

    panels = dashboard()["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = 24 * _UNIT_INCHES, rows * _UNIT_INCHES * 0.55
    figure = Figure(figsize=(width, height), facecolor="#f4f5f5")
    for panel in panels:
        place = panel["gridPos"]
        left, top = place["x"] / 24, 1 - place["y"] / rows
        if panel["type"] == "row":
            middle = top - 0.5 / rows
            title = panel["title"]
            figure.text(0.008, middle, title, fontsize=12, weight="bold", va="center")
            continue
        box = (left, top - place["h"] / rows, place["w"] / 24, place["h"] / rows)
        _draw(figure, box, panel, source)
    figure.savefig(path, dpi=80)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(_COLOURS)
    small.save(path, optimize=True)


def _draw(
    figure: Any, box: tuple[float, ...], panel: Mapping[str, Any], source: Source
) -> None:
    left, bottom, width, height = box
    frame = figure.add_axes(
        (left + 0.003, bottom + 0.002, width - 0.006, height - 0.004)
    )
    frame.set_xticks([])
    frame.set_yticks([])
    frame.spines[:].set_color("#d8d9da")
    frame.set_title(panel["title"], fontsize=9, y=0.99, va="top", pad=-3, weight="bold")
    found = [
        (_legend(target["legendFormat"], series["metric"]), series["values"])
        for target in panel["targets"]
        for series in source.ask(target)
    ]
    if panel["type"] == "stat":
        _draw_number(frame, panel, found)
    elif panel["type"] == "table":
        _draw_table(frame, found)
    else:
        inner = (left + 0.035, bottom + height * 0.31, width - 0.045, height * 0.55)
        _draw_lines(figure.add_axes(inner), panel, found, source)


def _draw_number(frame: Any, panel: Mapping[str, Any], found: list[Any]) -> None:
    if not found:
        frame.text(0.5, 0.4, "no data", ha="center", va="center")
        return
    value = float(found[0][1][-1][1])
    colour = _BLUE
    if "thresholds" in panel["fieldConfig"]["defaults"]:
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        reached = [s for s in steps if s["value"] is None or value >= s["value"]]
        colour = _RED if reached[-1]["color"] == "red" else _GREEN
    factor, unit = _scale(panel, value)
    said = f"{value / factor:.3g} {unit}".strip()
    frame.text(0.5, 0.4, said, ha="center", va="center", fontsize=20, color=colour)


def _draw_table(frame: Any, found: list[Any]) -> None:
    for line, (legend, values) in enumerate(found[:10]):
        y = 0.84 - line * 0.085
        frame.text(0.02, y, _short(legend, 62), fontsize=7.5, va="center")
        number = f"{float(values[-1][1]):g}"
        frame.text(0.98, y, number, fontsize=7.5, va="center", ha="right")


def _draw_lines(
    axis: Any, panel: Mapping[str, Any], found: list[Any], source: Source
) -> None:
    finite = [
        (legend, [(float(t), float(v)) for t, v in values if math.isfinite(float(v))])
        for legend, values in found
    ]
    largest = max((v for _, points in finite for _, v in points), default=0)
    factor, unit = _scale(panel, largest)
    custom = panel["fieldConfig"]["defaults"]["custom"]
    stacked = custom["stacking"]["mode"] == "normal"
    every = sorted({t for _, points in finite for t, _ in points})
    floor = dict.fromkeys(every, 0.0)
    finite.sort(key=lambda one: -max((v for _, v in one[1]), default=0))
    for legend, points in finite:
        # Stacked, what has no point adds nothing; a line has a gap.
        missing = 0.0 if stacked else math.nan
        there = {**dict.fromkeys(every, missing), **dict(points)}
        times = [t - source.end for t in every]
        if stacked:
            below = [floor[t] / factor for t in every]
            floor = {t: floor[t] + there[t] for t in every}
            above = [floor[t] / factor for t in every]
            axis.fill_between(times, below, above, alpha=0.55, lw=0, label=legend)
        else:
            values = [there[t] / factor for t in every]
            axis.plot(times, values, lw=1.4, label=legend)
    axis.set_xlim(source.begin - source.end, 0)
    axis.set_ylim(bottom=0)
    if not stacked:
        axis.set_ylim(top=largest / factor * 1.12 or 1)
    axis.set_ylabel(unit, fontsize=7, labelpad=1)
    axis.xaxis.set_major_formatter(
        lambda seconds, _: f"{seconds:g} s" if seconds else "now"
    )
    axis.tick_params(labelsize=6.5, length=2, pad=1)
    axis.grid(alpha=0.3, lw=0.5)
    axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axis.get_legend_handles_labels()
    wide = any(len(label) > 24 for label in labels)
    columns, longest = (1, 52) if wide else (2, 24)
    most = _LEGEND_LINES * columns
    axis.legend(
        handles[:most],
        [_short(label, longest) for label in labels[:most]],
        loc="upper left",
        bbox_to_anchor=(-0.06, -0.14),
        ncols=columns,
        fontsize=6.5,
        frameon=False,
        labelspacing=0.15,
        handlelength=1.2,
        columnspacing=1.0,
        borderpad=0,
    )


def _scale(panel: Mapping[str, Any], largest: float) -> tuple[float, str]:
    scales = _SCALES.get(panel["fieldConfig"]["defaults"]["unit"], ((1, ""),))
    return next((each for each in scales if largest >= each[0]), scales[-1])


def _legend(form: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), form)


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."


if __name__ == "__main__":
    now = time.time()  # noqa: TID251 - the clock of whoever asks
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 3600
    draw(Source(sys.argv[1].rstrip("/"), now - seconds, now), Path(sys.argv[2]))
