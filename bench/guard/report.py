"""What the guard counted, as text (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.text_table import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.guard.counts import Verdict


def report(verdicts: Sequence[Verdict]) -> str:
    """Return a table of all counts, and what those that have grown are made of."""
    grown = [_explain(verdict) for verdict in verdicts if verdict.has_grown]
    return "\n\n".join([_table(verdicts), *grown])


def _table(verdicts: Sequence[Verdict]) -> str:
    rows = [["count", "limit", "tolerance", "now", ""]]
    for verdict in verdicts:
        count = verdict.count
        limit = "none" if verdict.limit is None else f"{verdict.limit:.2f}"
        said = "HAS GROWN" if verdict.has_grown else "ok"
        tolerance = f"{count.tolerance:.0%}"
        rows.append([count.name, limit, tolerance, f"{count.value:.2f}", said])
    return table(rows, text_columns=1)


def _explain(verdict: Verdict) -> str:
    """Say what the calls are that there are most of."""
    lines = [f"{value:10.2f}  {name}" for name, value in verdict.count.by_name.items()]
    return "\n".join([f"{verdict.count.name}, most of them:", *lines])
