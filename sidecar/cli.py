"""The commands: what each is called, and which module runs it.

Only what a command runs is imported, and only when it runs.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import sys
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from sidecar import __version__
from sidecar.commands.argument_parser import Parser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    # argparse has no public name for what add_subparsers returns.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

DONE: Final = 0
FAILED: Final = 1
BAD_INPUT: Final = 2

# What writing to somebody else's standard output can end in.
_UNWRITTEN: Final = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO}

_EXAMPLES: Final = """\
examples:
  sidecar demo                        see it work, with nothing set up
  sidecar check sidecar.yaml          every problem of a configuration
  sidecar run --config sidecar.yaml   run it
  sidecar policy explain --help       who is let in, by which rule, and why not
  sidecar policy test cases.yaml      try cases on a policy, in a pipeline
  sidecar certs init --help           make certificates for development
  sidecar redirect show               the iptables rules that turn a pod to it
  sidecar inject --help               put it into Kubernetes manifests
  sidecar webhook --help              give pods the sidecar as they are created

exit status: 0 done, 1 failed while running, 2 the input was wrong
"""


def _parser(first: str | None) -> Parser:
    """Make the parser for arguments that begin with *first*.

    It knows that command alone; where it is no command, all of them, to name them.
    """
    parser = Parser(
        prog="sidecar",
        description="A per-pod mTLS proxy for a service mesh.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=__version__)
    below = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    commands = cast("Commands", below)
    for add in [_COMMANDS[first]] if first in _COMMANDS else _COMMANDS.values():
        add(commands)
    return parser


def _add_run(commands: Commands) -> None:
    run = commands.add_parser(
        "run",
        help="run the sidecar",
        description="Run until SIGTERM, which drains; a second one ends at once. "
        "SIGHUP reloads now.",
        epilog="example:\n  sidecar run --config /etc/sidecar/sidecar.yaml",
    )
    run.add_argument("--config", type=Path, required=True, metavar="FILE")
    run.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        help="instead of log.level, until that changes",
    )
    # How a supervisor starts its workers: the descriptor that they talk over.
    run.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    run.set_defaults(command="sidecar.commands.run")


def _add_check(commands: Commands) -> None:
    check = commands.add_parser(
        "check",
        help="find every problem of a configuration, without running it",
        description="Read a configuration, the policy that it names and the keys and\n"
        "certificates, and report every problem at once; or the ConfigMaps with them\n"
        "among the manifests of a cluster, without certificates. Exit status 0 or 2.",
        epilog="examples:\n  sidecar check sidecar.yaml\n"
        "  sidecar check --json sidecar.yaml | jq .problems\n"
        "  helm template sidecar CHART --values values.yaml | sidecar check --manifests -",
    )
    what = check.add_mutually_exclusive_group(required=True)
    what.add_argument("file", type=Path, nargs="?", metavar="FILE")
    what.add_argument(
        "--manifests", type=Path, metavar="FILE", help="manifests; - is standard input"
    )
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(command="sidecar.commands.check")


def _add_demo(commands: Commands) -> None:
    demo = commands.add_parser(
        "demo",
        help="see it work, with nothing set up",
        description="Make a throw-away PKI, start a small HTTP application and a "
        "sidecar on each side, call it in four ways, and show what each caller saw, "
        "why, and the metrics that are left. Needs no network and leaves nothing.",
        epilog="example:\n  sidecar demo --keep    leave it running, and say how to try it",
    )
    demo.add_argument(
        "--keep", action="store_true", help="leave it running until Ctrl-C"
    )
    demo.set_defaults(command="sidecar.demo.command")


def _add_policy(commands: Commands) -> None:
    from sidecar.commands.policy_parser import add_parser  # noqa: PLC0415

    add_parser(commands)


def _add_certs(commands: Commands) -> None:
    from sidecar.certs.command import add_parser  # noqa: PLC0415 - it alone needs it

    add_parser(commands)


def _add_redirect(commands: Commands) -> None:
    from sidecar.commands.redirect import add_parser  # noqa: PLC0415 - it alone needs it

    add_parser(commands)


def _add_webhook(commands: Commands) -> None:
    from sidecar.commands.webhook_parser import add_parser  # noqa: PLC0415 - it alone needs it

    add_parser(commands)


def _add_wait(commands: Commands) -> None:
    wait = commands.add_parser(
        "wait",
        help="wait until the sidecar is ready",
        description="Wait until the sidecar is ready, and say why where it is not. For "
        "a postStart hook, behind which the kubelet holds the application.",
        epilog="example:\n  sidecar wait --timeout 60\n\n"
        "exit status: 0 ready, 1 not ready in time, 2 the input was wrong",
    )
    wait.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="(60)"
    )
    wait.add_argument(
        "--url",
        default="http://127.0.0.1:15020/readyz",
        help="what is asked (%(default)s)",
    )
    wait.set_defaults(command="sidecar.commands.wait")


def _add_inject(commands: Commands) -> None:
    from sidecar.commands.inject_parser import add_inject_parser  # noqa: PLC0415

    add_inject_parser(commands)


def _add_uninject(commands: Commands) -> None:
    from sidecar.commands.inject_parser import add_uninject_parser  # noqa: PLC0415

    add_uninject_parser(commands)


_COMMANDS: Final[dict[str | None, Callable[[Commands], None]]] = {
    "run": _add_run,
    "check": _add_check,
    "demo": _add_demo,
    "policy": _add_policy,
    "certs": _add_certs,
    "redirect": _add_redirect,
    "inject": _add_inject,
    "uninject": _add_uninject,
    "webhook": _add_webhook,
    "wait": _add_wait,
}


def main(
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Run the command that *arguments* name; give its exit status.

    Args:
        arguments: Those of the process, unless given.
        environment: Commands find in their arguments what they need of it.

    Raises:
        SystemExit: There is no such command, or only its help was asked for.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        with _written_out():
            return _run(words, environment)
    except KeyboardInterrupt:
        return FAILED
    except OSError as error:
        if error.errno not in _UNWRITTEN:
            raise
        if error.errno != errno.EPIPE:  # who has stopped reading wants no more words
            sys.stderr.write(f"sidecar: standard output: {error.strerror}\n")
        return FAILED


def _run(words: Sequence[str], environment: Mapping[str, str]) -> int:
    parsed = _parser(words[0] if words else None).parse(words)
    parsed.endpoint_socket = environment.get("SPIFFE_ENDPOINT_SOCKET")
    parsed.app_probes = environment.get("SIDECAR_APP_PROBES", "")
    parsed.rules = environment.get("SIDECAR_REDIRECT_INBOUND_MODE", "")
    status: int = importlib.import_module(parsed.command).main(parsed)
    return status


@contextlib.contextmanager
def _written_out() -> Iterator[None]:
    """Write what is printed while errors can still be told.

    Raises:
        OSError: Its reader has gone, as in ``sidecar check FILE | head -1``, or its
            disk is full.
    """
    try:
        yield
    finally:
        try:
            if sys.stdout is not None:  # it is, where it came to us closed
                sys.stdout.flush()
        except OSError:
            # Else the interpreter would try again at its end, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise
