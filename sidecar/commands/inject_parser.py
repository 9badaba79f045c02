"""The arguments of `sidecar inject` and `sidecar uninject`.

Apart from what they do, so that other commands do not import it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns.
    import argparse

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

_COMMAND: Final = "sidecar.commands.inject"

_INJECT: Final = """\
Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs, Pods and Lists of
them get the sidecar; everything else comes out as it came in, and so do comments, order
and quotes. What was done is said on standard error. If any workload is refused, nothing
is written.

examples:
  sidecar inject --settings injection.yaml deploy.yaml | kubectl apply -f -
  kubectl get deploy web -o yaml | sidecar inject --settings injection.yaml - | kubectl apply -f -
  sidecar inject --settings injection.yaml --patch deploy.yaml | jq .
"""
_UNINJECT: Final = """\
examples:
  sidecar uninject injected.yaml > deploy.yaml
  kubectl get deploy web -o yaml | sidecar uninject - | kubectl apply -f -
"""


def add_inject_parser(commands: Commands) -> None:
    """Add `inject`."""
    parser = commands.add_parser(
        "inject",
        help="manifests in, manifests with the sidecar out",
        description="Put the sidecar into the pods of Kubernetes manifests.",
        epilog=_INJECT,
    )
    parser.add_argument(
        "--settings", type=Path, required=True, metavar="FILE", help="injection.yaml"
    )
    parser.add_argument(
        "--patch",
        action="store_true",
        help="print, as JSON, the patch of each document and why others have none",
    )
    _add_files(parser)
    parser.set_defaults(command=_COMMAND)


def add_uninject_parser(commands: Commands) -> None:
    """Add `uninject`."""
    parser = commands.add_parser(
        "uninject",
        help="manifests with the sidecar in, as they were before out",
        description="Take the sidecar out of the pods of Kubernetes manifests.",
        epilog=_UNINJECT,
    )
    _add_files(parser)
    parser.set_defaults(command=_COMMAND, settings=None, patch=False)


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        type=Path,
        nargs="*",
        default=[Path("-")],
        metavar="FILE",
        help="YAML or JSON, or - for standard input; default: -",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write; default: standard output",
    )
