"""`python -m sidecar` and the `sidecar` command."""

from __future__ import annotations

import sys

from sidecar import early_signals


def main() -> int:
    """Run the command that the command line names; give its exit status."""
    early_signals.prepare(sys.argv[1:])
    from sidecar import cli  # noqa: PLC0415 - takes a while

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
