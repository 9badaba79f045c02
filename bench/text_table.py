"""Tables that read well in a terminal and are Markdown too (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], *, text_columns: int) -> str:
    """Lay out *rows*, the first of which is the heading.

    Args:
        rows: All of the same length.
        text_columns: So many are aligned to the left, the others to the right.
    """
    # Markdown wants three dashes.
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if at < text_columns else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * width if at < text_columns else f"{'-' * (width - 1)}:"
        for at, width in enumerate(widths)
    ]
    heading, *body = rows
    return "\n".join([line(heading), line(rule), *map(line, body)])
