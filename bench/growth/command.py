"""`python -m bench growth`: is any term worse than linear?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import machine
from bench.growth import connections, policies
from bench.growth.connections import OPEN, Amount
from bench.growth.plot import plot
from bench.growth.series import sizes_up_to
from bench.output import RESULTS, write_json, write_plot
from bench.progress import Progress, clock
from bench.stage import most_connections, stage
from bench.text_table import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from bench.growth.series import Series

_LEVELS: Final = (10, 100, 1_000, 10_000)
_RULES: Final = (10, 1_000, 100_000)
_AMOUNT: Final = Amount(requests=20_000, connections=640)

_QUICK_LEVELS: Final = (10, 300, 3_000)
_QUICK_RULES: Final = (10, 1_000, 10_000)
_QUICK_AMOUNT: Final = Amount(requests=4_000, connections=160)

# Beside those that are open, the new ones.
_SPARE: Final = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--quick",
        action="store_true",
        help="up to 3,000 connections and 10,000 rules, one round",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="by default 3")
    parser.add_argument(
        "--json", type=Path, default=RESULTS / "growth.json", metavar="FILE"
    )
    parser.add_argument(
        "--plots",
        type=Path,
        default=RESULTS,
        metavar="FOLDER",
        help="where growth-*.png go",
    )


def main(arguments: argparse.Namespace) -> int:
    """Measure, print and write; exit status 1 says that a term is worse than linear.

    Raises:
        Unmeasured: The sidecars failed.
    """
    series = _measure(quick=arguments.quick, rounds=arguments.rounds)
    for against in dict.fromkeys(each.against for each in series):
        print(f"{_table([each for each in series if each.against == against])}\n")
    found = {
        "machine": machine.describe(),
        "series": [each.as_json() for each in series],
    }
    write_json(arguments.json, found)
    for name, chosen in _plots(series).items():
        path = arguments.plots / f"growth-{name}.png"
        write_plot(path, lambda path, chosen=chosen: plot(chosen, path))  # type: ignore[misc]
    return 0 if all(each.is_linear for each in series) else 1


def _measure(*, quick: bool, rounds: int | None) -> list[Series]:
    rounds = rounds or (1 if quick else 3)
    amount = _QUICK_AMOUNT if quick else _AMOUNT
    rules = _QUICK_RULES if quick else _RULES
    with stage() as ready:
        most = most_connections() - _SPARE
        levels = sizes_up_to(most, _QUICK_LEVELS if quick else _LEVELS)
        a_round = amount.seconds(levels) + policies.planned_seconds(
            rules, amount.connections
        )
        print(f"takes about {clock(rounds * a_round)} minutes", file=sys.stderr)
        with Progress(rounds * a_round, terminal=sys.stderr.isatty()) as progress:
            return [
                *connections.measure(ready, levels, amount, rounds, progress),
                *policies.measure(ready, rules, amount.connections, rounds, progress),
            ]


def _table(series: Sequence[Series]) -> str:
    sizes = [f"{size:,}" for size in series[0].sizes]
    heading = [f"by {series[0].against}", "measure", *sizes, "growth"]
    return table([heading, *(each.row() for each in series)], text_columns=2)


def _plots(series: Sequence[Series]) -> dict[str, list[Series]]:
    cpu = [each for each in series if each.against == OPEN and each.each]
    memory = [each for each in series if each.against == OPEN and not each.each]
    rules = [each for each in series if each.against != OPEN]
    return {"connections": cpu, "memory": memory, "rules": rules}
