"""The commands: what each is called, and which module runs it.

Only what a command runs is imported, and only when it runs.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecar import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE: Final = 0
FAILED: Final = 1
BAD_INPUT: Final = 2

_EXAMPLES: Final = """\
examples:
  sidecar demo                        see it work, with nothing set up
  sidecar check sidecar.yaml          every problem of a configuration
  sidecar run --config sidecar.yaml   run it
  sidecar certs init --help           make certificates for development

exit status: 0 done, 1 failed while running, 2 the input was wrong
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sidecar",
        description="A per-pod mTLS proxy for a service mesh.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_check(commands)
    _add_demo(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="run the sidecar",
        description="Run until SIGTERM, which drains; a second one ends at once. "
        "SIGHUP reloads now.",
        epilog="example:\n  sidecar run --config /etc/sidecar/sidecar.yaml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--config", type=Path, required=True, metavar="FILE")
    run.set_defaults(command="sidecar.commands.run")


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = commands.add_parser(
        "check",
        help="find every problem of a configuration, without running it",
        description="Read a configuration, the policy that it names and the keys and "
        "certificates, and report every problem at once. Exit status 0 or 2.",
        epilog="examples:\n  sidecar check sidecar.yaml\n"
        "  sidecar check --json sidecar.yaml | jq .problems",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("file", type=Path, metavar="FILE")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(command="sidecar.commands.check")


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser(
        "demo",
        help="see it work, with nothing set up",
        description="Make a throw-away PKI, start a small HTTP application and a "
        "sidecar on each side, call it in four ways, and show what each caller saw, "
        "why, and the metrics that are left. Needs no network and leaves nothing.",
        epilog="example:\n  sidecar demo --keep    leave it running, and say how to try it",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument(
        "--keep", action="store_true", help="leave it running until Ctrl-C"
    )
    demo.set_defaults(command="sidecar.demo.command")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* name; give its exit status."""
    parsed = _parser().parse_args(arguments)
    command = importlib.import_module(parsed.command)
    try:
        status: int = command.main(parsed)
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:
        # The reader of our output has gone: `sidecar check FILE | head -1`.
        sys.stderr.close()
        return FAILED
    return status
