"""A matrix as people and programs read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.policytools.matrix import Cell, Matrix
    from sidecar.policytools.rulebook import Rulebook


def matrix_lines(matrix: Matrix) -> Iterator[str]:
    """Draw it as a table: a row for each peer, a column for each port."""
    names = ["other" if each is None else str(each) for each in matrix.ports]
    table = [["", *names]]
    if any(matrix.modes):
        table.append(["", *map(str, matrix.modes)])
    table += [[name, *map(_cell, cells)] for name, cells in matrix.rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()
    yield from _legend(matrix)


def _cell(cell: Cell) -> str:
    source, dry_run = "*" * cell.by_source, "~" * cell.by_dry_run
    return f"{cell.verdict}{source}{dry_run}"


def _legend(matrix: Matrix) -> Iterator[str]:
    cells = [cell for _, row in matrix.rows for cell in row]
    if any(cell.by_source for cell in cells):
        yield "* a rule asks for the source, and is shown from elsewhere (name --source)"
    if any(cell.by_dry_run for cell in cells):
        yield "~ otherwise with the dry runs in force"
    if any(mode == "permissive" for mode in matrix.modes):
        yield "permissive: by certificate; in plaintext everybody is unauthenticated"
    for count, noun in (
        (matrix.peers_left_out, "peer"),
        (matrix.ports_left_out, "port"),
    ):
        if count:
            yield f"left out: {count:,} {noun}{'' if count == 1 else 's'}"


def matrix_value(book: Rulebook, matrix: Matrix) -> dict[str, Any]:
    """Give it as a value that JSON can carry."""
    return {
        "decided_by": book.source,
        "ports": list(matrix.ports),
        "modes": [mode and str(mode) for mode in matrix.modes],
        "peers": [
            {
                "peer": name,
                "cells": [
                    {
                        "verdict": str(cell.verdict),
                        "rule": cell.rule,
                        "by_source": cell.by_source,
                        "by_dry_run": cell.by_dry_run,
                    }
                    for cell in cells
                ],
            }
            for name, cells in matrix.rows
        ],
        "peers_left_out": matrix.peers_left_out,
        "ports_left_out": matrix.ports_left_out,
    }
