"""What `sidecar certs conformance` takes."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

FOLDER: Final = Path("conformance-dev")

_MOST_AT_ONCE: Final = 64
_DESCRIPTION: Final = """\
Show good and bad certificates to an mTLS endpoint, one for each clause of the
SPIFFE standards and of RFC 5280 that decides about a peer, and say which it
accepted.

First without --target: that makes authorities in --state, writes the bundles
that the endpoint has to trust, and says which is for what. The endpoint must
admit every identity of both trust domains. Then with --target, as often as you
like.
"""
_EXAMPLES: Final = r"""
examples:
  sidecar certs conformance --bundles /etc/proxy/trust
  sidecar certs conformance --target 127.0.0.1:8443
  sidecar certs conformance --target 127.0.0.1:8443 \
      --send 'GET / HTTP/1.0\r\n\r\n' --expect '200 OK' --json
  sidecar certs conformance --list

Acceptance is an answer, or a connection that stays open in silence for
--settle. An application that ends connections at once needs --send and
--expect.

exit status: 0 all is as the standard says, 1 it is not, 2 the input was wrong
"""


def add_conformance(commands: Commands) -> None:
    """Add `sidecar certs conformance`."""
    parser = commands.add_parser(
        "conformance",
        help="ask an mTLS endpoint what it accepts, clause by clause",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument("--target", metavar="HOST:PORT", help="the endpoint")
    parser.add_argument("--server-name", metavar="NAME", help="ask for it by SNI")
    _add_authorities(parser)
    _add_asking(parser)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="CASE",
        help="this case alone; repeatable",
    )
    parser.add_argument(
        "--crl",
        action="store_true",
        help="the endpoint has the revocation list: the cases that need it alone",
    )
    parser.add_argument("--list", action="store_true", help="print the cases, and end")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command="sidecar.certs.conformance_command")


def _add_authorities(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        type=Path,
        default=FOLDER,
        metavar="DIR",
        help="keeps the authorities and their keys; default: %(default)s",
    )
    parser.add_argument(
        "--bundles",
        type=Path,
        metavar="DIR",
        help="where the endpoint reads; default: bundles in --state",
    )
    parser.add_argument(
        "--trust-domain",
        metavar="NAME",
        help="the endpoint's own; default: example.org",
    )


def _add_asking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--send", type=_escaped, default=b"", metavar="TEXT", help="say this first"
    )
    parser.add_argument(
        "--expect",
        type=_escaped,
        default=b"",
        metavar="TEXT",
        help="an answer without it is a refusal",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="for a whole connection; default: %(default)g",
    )
    parser.add_argument(
        "--settle",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="of silence that mean acceptance; default: %(default)g",
    )
    parser.add_argument(
        "--at-once",
        type=_count,
        default=8,
        metavar="COUNT",
        help="connections at a time; default: %(default)s",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(
            f"expected seconds, more than 0 and at most 3600, got {text!r}"
        )
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _MOST_AT_ONCE):
        raise argparse.ArgumentTypeError(
            f"expected a number from 1 to {_MOST_AT_ONCE}, got {text!r}"
        )
    return int(text)


def _escaped(text: str) -> bytes:
    r"""Read ``\r``, ``\n``, ``\x00`` and the like, as a shell leaves them."""
    try:
        return (
            text.encode("latin-1", "backslashreplace")
            .decode("unicode_escape")
            .encode("latin-1")
        )
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise argparse.ArgumentTypeError(
            f"expected text with escapes such as \\r\\n or \\x00, got {text!r}"
        ) from None
