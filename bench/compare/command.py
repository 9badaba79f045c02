"""`python -m bench compare`: what a pair of each proxy costs, side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import asdict, evolve

from bench import machine
from bench.arguments import chosen
from bench.compare.plot import plot
from bench.compare.report import report
from bench.compare.run import Plan, compare
from bench.output import RESULTS, write_json, write_plot
from bench.programs import find
from bench.progress import Progress, clock
from bench.proxies.catalogue import OURS, PROXIES
from bench.stage import stage
from bench.work.catalogue import all_work
from bench.work.work import Effort

if TYPE_CHECKING:
    import argparse

USUAL: Final = Effort(seconds=4, idle_connections=5000, rate=2000)
QUICK: Final = Effort(seconds=1, idle_connections=500, rate=1000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    works = ", ".join(all_work())
    parser.add_argument(
        "--quick",
        action="store_true",
        help="under two minutes: a second of each work, 500 idle connections, and "
        "only ours and the one that it is compared against",
    )
    parser.add_argument(
        "--only",
        metavar="NAMES",
        help=f"these proxies, of {', '.join(PROXIES)}; by default all",
    )
    parser.add_argument(
        "--work", metavar="NAMES", help=f"this work, of {works}; by default all"
    )
    parser.add_argument(
        "--against",
        metavar="NAME",
        default="envoy",
        choices=[name for name in PROXIES if name != OURS],
        help="the proxy that ratios are taken against, by default envoy",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="by default 3"
    )
    parser.add_argument(
        "--seconds", type=int, metavar="N", help="of each work, by default 4"
    )
    parser.add_argument(
        "--rate",
        type=int,
        metavar="N",
        help=f"requests a second at a fixed rate, by default {USUAL.rate:,}; must be "
        "well below what the slowest carries, or queues are all that is measured",
    )
    parser.add_argument(
        "--json", type=Path, default=RESULTS / "compare.json", metavar="FILE"
    )
    parser.add_argument(
        "--plot", type=Path, default=RESULTS / "compare.png", metavar="FILE"
    )


def main(arguments: argparse.Namespace) -> int:
    """Compare; print the table, and write the files.

    Raises:
        Unmeasured: Nothing can be measured here at all.
    """
    find("wrk")
    plan = _plan(arguments)
    print(f"takes about {clock(plan.seconds)} minutes", file=sys.stderr)
    with (
        stage() as ready,
        Progress(plan.seconds, terminal=sys.stderr.isatty()) as progress,
    ):
        results = compare(plan, ready, progress)
    print(report(results))
    found = {
        "machine": machine.describe(),
        "effort": asdict(plan.effort),
        "rounds": plan.rounds,
        **results.as_json(),
    }
    write_json(arguments.json, found)
    write_plot(arguments.plot, lambda path: plot(results, path))
    return 0


def _plan(arguments: argparse.Namespace) -> Plan:
    usual = f"{OURS},{arguments.against}" if arguments.quick else ""
    return Plan(
        chosen(arguments.only or usual, PROXIES, "--only"),
        chosen(arguments.work or "", all_work(), "--work"),
        _effort(arguments),
        arguments.rounds,
        arguments.against,
    )


def _effort(arguments: argparse.Namespace) -> Effort:
    usual = QUICK if arguments.quick else USUAL
    return evolve(
        usual,
        seconds=arguments.seconds or usual.seconds,
        rate=arguments.rate or usual.rate,
    )
