"""The arguments of `sidecar webhook`, apart from what it does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns.
    import argparse

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001


def add_parser(commands: Commands) -> None:
    """Add `webhook`."""
    webhook = commands.add_parser(
        "webhook",
        help="inject the sidecar when an API server asks",
        description="Answer admission reviews for pods, at /inject: the same patch as\n"
        "that of `sidecar inject`. Certificate and settings are read again when\n"
        "their files change. SIGTERM drains.",
        epilog="example:\n  sidecar webhook --settings injection.yaml "
        "--cert tls.crt --key tls.key",
    )
    for name, text in (
        ("--settings", "injection.yaml: what pods get"),
        ("--cert", "the certificate chain that is shown, PEM, leaf first"),
        ("--key", "its private key, PEM"),
    ):
        webhook.add_argument(name, type=Path, required=True, metavar="FILE", help=text)
    webhook.add_argument(
        "--allow-readable-key",
        action="store_true",
        help="let other users read the file of the private key",
    )
    webhook.add_argument(
        "--client-ca",
        type=Path,
        metavar="FILE",
        help="roots, PEM: clients have to show a certificate of theirs",
    )
    webhook.add_argument(
        "--listen",
        default="0.0.0.0:15017",
        metavar="ADDRESS",
        help="for reviews, with TLS; default: %(default)s",
    )
    webhook.add_argument(
        "--telemetry",
        default="0.0.0.0:15020",
        metavar="ADDRESS",
        help="for /metrics, /livez and /readyz, without TLS; default: %(default)s",
    )
    webhook.add_argument(
        "--fail",
        choices=["closed", "open"],
        default="closed",
        help="what becomes of a pod where the webhook itself fails: refused (closed) "
        "or created without the sidecar (open); default: %(default)s",
    )
    webhook.add_argument(
        "--drain-delay",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="how long reviews are taken after SIGTERM; default: %(default)g",
    )
    webhook.add_argument(
        "--log-level", choices=["debug", "info", "warning", "error"], default="info"
    )
    webhook.set_defaults(command="sidecar.commands.webhook")
