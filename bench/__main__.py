"""`python -m bench`: what the sidecar costs, beside others and by itself."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING, Final

from bench.arguments import BadArgument
from bench.interrupts import interruptible
from bench.unmeasured import Unmeasured

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS: Final = {
    "compare": "what a pair of proxies costs, ours beside Envoy, nginx and others",
    "growth": "how the cost grows with connections and rules",
    "guard": "counts that no change may raise unseen: system calls, function calls",
}


def main(words: Sequence[str]) -> int:
    """Run the command that *words* name, or the comparison; return the exit status."""
    asks_for_help = words[:1] in (["-h"], ["--help"])
    if not asks_for_help and (not words or words[0] not in _COMMANDS):
        words = ["compare", *words]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, about in _COMMANDS.items():
        command = importlib.import_module(f"bench.{name}.command")
        subparser = commands.add_parser(name, help=about, description=about)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.main)
    arguments = parser.parse_args(words)
    try:
        with interruptible():
            status: int = arguments.run(arguments)
    except KeyboardInterrupt:
        return 130
    except (BadArgument, Unmeasured) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadArgument) else 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
