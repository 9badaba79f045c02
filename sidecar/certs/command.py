"""`sidecar certs`: what its commands are called and take; they import lazily."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecar.certs.conformance_parser import add_conformance
from sidecar.certs.lifetime import parse_lifetime

if TYPE_CHECKING:
    import datetime as dt

    # argparse has no public name for what add_subparsers returns.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

FOLDER: Final = Path("certs-dev")

_CERTS: Final = """\
examples:
  sidecar certs init
  sidecar certs issue spiffe://example.org/ns/shop/sa/cart --dir certs-dev
  sidecar certs show certs-dev/cart.crt
  sidecar certs conformance --help
"""
_INIT: Final = """\
examples:
  sidecar certs init
  sidecar certs init --trust-domain shop.test --dir pki --lifetime 90d
"""
_ISSUE: Final = """\
examples:
  sidecar certs issue spiffe://example.org/ns/shop/sa/cart --dir certs-dev
  sidecar certs issue spiffe://example.org/ns/shop/sa/api --dir certs-dev \\
      --out api --dns api.shop.svc --dns localhost --lifetime 12h
"""
_SHOW: Final = """\
examples:
  sidecar certs show certs-dev/cart.crt
  sidecar certs show --json certs-dev/ca.crt | jq '.[].verdict'
  openssl pkcs12 -nokeys -in cart.p12 | sidecar certs show -
  sidecar certs show unix:///run/spire/agent-sockets/api.sock
"""

_WEBHOOK: Final = """\
example:
  sidecar certs webhook --namespace sidecar-system --service sidecar-webhook \\
      --secret sidecar-webhook-certificate --configuration sidecar-webhook
"""
_TEN_YEARS: Final = 3650
_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def add_parser(commands: Commands) -> None:
    """Add `certs` and its commands.

    Each sets `command` to the module whose ``main(arguments)`` runs it.
    """
    certs = commands.add_parser(
        "certs",
        help="make and explain certificates for development",
        description="A CA and SVIDs for development: P-256, short-lived, exactly what\n"
        "the SPIFFE standard asks. Not for production: the CA's key is a file.",
        epilog=_CERTS,
    )
    below = certs.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_init(below)
    _add_issue(below)
    _add_show(below)
    add_conformance(below)
    _add_webhook(below)


def _add_init(commands: Commands) -> None:
    init = commands.add_parser(
        "init",
        help="make a CA for a trust domain",
        description="Make ca.crt, the trust bundle of a trust domain, and ca.key.",
        epilog=_INIT,
    )
    init.add_argument(
        "--trust-domain",
        default="example.org",
        metavar="NAME",
        help="default: %(default)s",
    )
    init.add_argument(
        "--dir", type=Path, default=FOLDER, metavar="DIR", help="default: %(default)s"
    )
    _add_lifetime(init, "30d")
    _add_force(init)
    init.set_defaults(command="sidecar.certs.init_command")


def _add_issue(commands: Commands) -> None:
    issue = commands.add_parser(
        "issue",
        help="make an SVID for a workload",
        description="Make NAME.crt, the certificate of a workload, and NAME.key,\n"
        "signed by the CA that `sidecar certs init` made in DIR.",
        epilog=_ISSUE,
    )
    issue.add_argument("spiffe_id", metavar="SPIFFE-ID")
    issue.add_argument(
        "--dir",
        type=Path,
        default=FOLDER,
        metavar="DIR",
        help="where the CA is, and the SVID goes; default: %(default)s",
    )
    issue.add_argument(
        "--out", metavar="NAME", help="default: the last segment of the SPIFFE ID"
    )
    issue.add_argument(
        "--dns",
        action="append",
        default=[],
        metavar="NAME",
        help="a DNS name beside the SPIFFE ID, for peers that check one; repeatable",
    )
    _add_lifetime(issue, "1h")
    _add_force(issue)
    issue.set_defaults(command="sidecar.certs.issue_command")


def _add_show(commands: Commands) -> None:
    show = commands.add_parser(
        "show",
        help="explain a certificate, clause by clause",
        description="Explain every certificate of a file (PEM, DER, or a SPIFFE bundle\n"
        "as a JWK Set) or of a SPIFFE Workload API, from whatever CA: who it names, and\n"
        "which rules of the SPIFFE standard it keeps or breaks. Exit status 0 if it\n"
        "could be read, whatever it says.",
        epilog=_SHOW,
    )
    show.add_argument(
        "file",
        metavar="FILE",
        help="a file, - for standard input, or unix:///path of an agent",
    )
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(command="sidecar.certs.show_command")


def _add_webhook(commands: Commands) -> None:
    webhook = commands.add_parser(
        "webhook",
        help="keep the certificate of `sidecar webhook` in a cluster",
        description="Make a certificate for `sidecar webhook` where there is none that is\n"
        "good for long enough, write it to a Secret, and its CA to a webhook\n"
        "configuration. Both have to be there. For a Job of the Helm chart.",
        epilog=_WEBHOOK,
    )
    for option, what in (
        ("--namespace", "of the service and the Secret"),
        ("--service", "whom the certificate names"),
        ("--secret", "gets tls.crt, tls.key and ca.crt"),
        ("--configuration", "the MutatingWebhookConfiguration"),
    ):
        webhook.add_argument(option, required=True, metavar="NAME", help=what)
    webhook.add_argument(
        "--days",
        type=_days,
        default=90,
        metavar="DAYS",
        help="how long it is good; default: %(default)s",
    )
    webhook.add_argument(
        "--server",
        default="https://kubernetes.default.svc",
        metavar="URL",
        help="the API server; default: %(default)s",
    )
    for option, name, what in (
        ("--ca-file", "ca.crt", "roots of the API server, PEM"),
        ("--token-file", "token", "who asks"),
    ):
        webhook.add_argument(
            option,
            type=Path,
            default=_ACCOUNT / name,
            metavar="FILE",
            help=f"{what}; default: that of the pod's service account",
        )
    webhook.set_defaults(command="sidecar.certs.webhook_command")


def _add_lifetime(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--lifetime",
        type=_lifetime,
        default=default,
        metavar="TIME",
        help="a number and s, m, h or d; default: %(default)s",
    )


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--force", action="store_true", help="replace files that exist, keys too"
    )


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _TEN_YEARS:
        raise argparse.ArgumentTypeError(
            f"expected a number of days from 1 to {_TEN_YEARS}, got {text!r}"
        )
    return int(text)


def _lifetime(text: str) -> dt.timedelta:
    try:
        return parse_lifetime(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
