"""What a comparison found, as text: what was compared, the table, what failed (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.text_table import table

if TYPE_CHECKING:
    from bench.compare.results import Look, Results
    from bench.compare.summary import Figure
    from bench.measures import Measure
    from bench.work.work import Work


def report(results: Results) -> str:
    """Return all of it, as Markdown."""
    parts = [_looks(results), _figures(results), _missing(results)]
    return "\n\n".join(part for part in parts if part)


def _looks(results: Results) -> str:
    """What each pair was seen to do before it was measured."""
    if not results.looks:
        return ""
    heading = [
        "proxy",
        "version",
        "handshake",
        "checks beside the chain",
        "refuses strangers",
        "resumes",
    ]
    rows = [
        [
            name,
            look.version,
            f"{look.full.version}, {look.full.group}, {look.full.cipher}",
            look.checks,
            _strangers(look),
            f"{look.resumed.resumed:.0%}",
        ]
        for name, look in results.looks.items()
    ]
    return table([heading, *rows], text_columns=5)


def _strangers(look: Look) -> str:
    if not look.takes_strangers:
        return "on both sides"
    return f"NOT on the {' and the '.join(look.takes_strangers)}'s side"


def _figures(results: Results) -> str:
    if not results.proxies:
        return ""
    compared = results.against in results.proxies and results.ours in results.proxies
    ratio = [f"{results.ours} / {results.against}"] if compared else []
    heading = ["work", "measure", *results.proxies, *ratio]
    rows = [
        row for work in results.works for row in _rows(results, work, compared=compared)
    ]
    return table([heading, *rows], text_columns=2)


def _rows(results: Results, work: Work, *, compared: bool) -> list[list[str]]:
    rows = []
    for at, measure in enumerate(work.measures):
        cells = [_cell(results, proxy, work, measure) for proxy in results.proxies]
        if compared:
            cells.append(_ratio(results.ratio(work.name, measure.key)))
        rows.append([work.title if at == 0 else "", measure.title, *cells])
    return rows


def _cell(results: Results, proxy: str, work: Work, measure: Measure) -> str:
    figure = results.figure(proxy, work.name, measure.key)
    if figure is not None:
        return f"{measure.text(figure.median)}{_spread(figure)}"
    return "failed" if results.was_tried(proxy, work.name) else "none"


def _ratio(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.median:.2f}{_spread(figure)}"


def _spread(figure: Figure) -> str:
    return f" ±{figure.spread:3.0%}" if figure.rounds > 1 else ""


def _missing(results: Results) -> str:
    """Every proxy and every work without a figure, each with its reason."""
    lines = [f"- {name}: {reason}" for name, reason in results.absent.items()]
    for proxy in results.proxies:
        for work in results.works:
            lines += [
                f"- {proxy}, {work.title}: {reason}"
                for reason in results.reasons(proxy, work.name)
            ]
    return "\n".join(["Not measured:", "", *lines]) if lines else ""
