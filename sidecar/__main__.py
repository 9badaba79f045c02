"""`python -m sidecar` and the `sidecar` command."""

from __future__ import annotations

import os
import sys

from sidecar import early_signals


def main() -> int:
    """Run the command that the command line names; give its exit status.

    Here the environment is read.
    """
    early_signals.prepare(sys.argv[1:])
    # Everything else takes a while.
    from sidecar import left_out  # noqa: PLC0415

    left_out.prepare(sys.argv[1:])
    from sidecar import cli  # noqa: PLC0415

    return cli.main(environment=os.environ)  # noqa: TID251 - here


if __name__ == "__main__":
    sys.exit(main())
