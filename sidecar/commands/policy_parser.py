"""`sidecar policy`: what its commands are called and take; they import lazily."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns.
    import argparse

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

_POLICY: Final = """\
examples:
  sidecar policy explain sidecar.yaml --peer spiffe://example.org/ns/shop/sa/cart --port 8080
  sidecar policy test policy-test.yaml
"""
_EXPLAIN: Final = """\
examples:
  sidecar policy explain sidecar.yaml --peer spiffe://example.org/ns/shop/sa/cart --port 8080
  sidecar policy explain policy.yaml --unauthenticated --port 9090 --source 10.0.0.7
  sidecar policy explain sidecar.yaml --matrix
  kubectl logs deploy/api -c sidecar | grep '"denied"' | sidecar policy explain \\
      sidecar.yaml --record -
  sidecar policy explain sidecar.yaml --certificate cart.crt --port 8080 --json
  sidecar policy explain sidecar.yaml --to api.shop.svc:8443 --resolve api.shop.svc=10.0.0.9
  helm template sidecar CHART --values values.yaml | sidecar policy explain \\
      --manifests - --config-map payments/sidecar --peer ns/shop/sa/api \\
      --trust-domain cluster.local --port 8080

exit status: 0 allowed (audited, too), 1 denied, 2 the input was wrong
"""
_TEST: Final = """\
a file of cases, beside the configuration or the policy that it names:
  config: sidecar.yaml            # or policy: policy.yaml, or, with --manifests,
  cases:                          # config_map: NAMESPACE/NAME; without any, what is beside it
    - name: the frontend calls the api
      peer: spiffe://example.org/ns/shop/sa/frontend   # or unauthenticated, dns:NAME, ...
      port: 8080
      source: 10.0.0.7            # optional, unless a rule asks
      expect: allow               # allow | deny | audit
      rule: frontend-calls-api    # optional: the rule that decides, or default
    - name: nobody comes without a certificate
      peer: unauthenticated
      port: 8080
      expect: deny
      reason: no_certificate      # optional: why the handshake fails
    - name: the api is called by mutual TLS, wherever it is
      to: api.shop.svc:8443       # a connection that the application makes
      resolve: {api.shop.svc: [10.0.0.9]}   # optional, as nobody is asked for names
      peer: spiffe://example.org/ns/shop/sa/api   # optional: who answers
      expect: mtls                # mtls | plaintext | deny
      route: api                  # optional: the route that is taken, or default

examples:
  sidecar policy test policy-test.yaml
  sidecar policy test --require-coverage --json tests/*.yaml
  helm template sidecar CHART --values values.yaml | sidecar policy test \\
      --manifests - policy-tests/*.yaml

exit status: 0 all hold, 1 one does not (or a rule decided none and --require-coverage
was given), 2 the input was wrong
"""


def add_parser(commands: Commands) -> None:
    """Add `policy` and its commands.

    Each sets `command` to the module whose ``main(arguments)`` runs it.
    """
    policy = commands.add_parser(
        "policy",
        help="decide offline, with the same engine",
        description="Say what a policy does with a connection, without making one: by\n"
        "the code that decides in `sidecar run`.",
        epilog=_POLICY,
    )
    below = policy.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_explain(below)
    _add_test(below)


def _add_explain(commands: Commands) -> None:
    explain = commands.add_parser(
        "explain",
        help="say whether a connection is let in, by which rule, and why not by others",
        description="Say what becomes of a connection to the application: allowed,\n"
        "denied or audited, by which rule, and what every other rule misses; or, with\n"
        "--to, of one that the application makes. FILE is sidecar.yaml, or a policy.yaml\n"
        "alone, of which no port has a mode. Nothing is dialled or looked up, and no\n"
        "private key is read.",
        epilog=_EXPLAIN,
    )
    _add_what(explain)
    who = explain.add_argument_group("who connects, one of")
    who.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME",
        help="a SPIFFE ID; or dns:NAME or subject:OU=web of a certificate without one,"
        " repeatable",
    )
    who.add_argument(
        "--unauthenticated", action="store_true", help="a caller without a certificate"
    )
    who.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="the certificate that it shows, and its intermediates: PEM",
    )
    explain.add_argument(
        "--trust-domain",
        metavar="NAME",
        help="of a --peer that is a path, as in ns/shop/sa/cart",
    )
    explain.add_argument(
        "--port",
        metavar="PORT",
        help="the destination port: the application's, not the listener's",
    )
    explain.add_argument(
        "--source",
        metavar="ADDRESS",
        help="where it comes from; needed only where a rule asks",
    )
    out = explain.add_argument_group(
        "where the application connects to, in place of who connects to it"
    )
    out.add_argument(
        "--to",
        metavar="HOST[:PORT]",
        help="says which route is taken; --peer and --certificate are the server's then",
    )
    out.add_argument(
        "--resolve",
        action="append",
        default=[],
        metavar="NAME=ADDRESS,...",
        help="the addresses of a host name, as nobody is asked; repeatable",
    )
    explain.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="in place of all of these: the last access record of a log; - is standard"
        " input",
    )
    explain.add_argument(
        "--matrix",
        action="store_true",
        help="draw whom the policy names at every port, in place of one connection;"
        " exit status 0",
    )
    explain.add_argument("--all", action="store_true", help="show every rule")
    explain.add_argument("--json", action="store_true", help="print JSON")
    explain.set_defaults(command="sidecar.commands.policy_explain")


def _add_test(commands: Commands) -> None:
    test = commands.add_parser(
        "test",
        help="try cases on a policy: all failures at once, each explained",
        description="Try cases on a policy, by the code that decides in `sidecar run`,\n"
        "and say which do not hold, why, and which rules decided none of them.",
        epilog=_TEST,
    )
    test.add_argument("files", type=Path, nargs="+", metavar="FILE", help="cases")
    test.add_argument(
        "--manifests",
        type=Path,
        metavar="FILE",
        help="manifests with the ConfigMaps that decide; - is standard input",
    )
    test.add_argument(
        "--require-coverage",
        action="store_true",
        help="fail where a rule has decided no case; or no case has taken a route, once"
        " one asks for routes",
    )
    test.add_argument("--json", action="store_true", help="print JSON")
    test.add_argument(
        "--junit", type=Path, metavar="FILE", help="write a JUnit report there, too"
    )
    test.set_defaults(command="sidecar.commands.policy_test")


def _add_what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="sidecar.yaml, or policy.yaml; - is standard input",
    )
    parser.add_argument(
        "--manifests",
        type=Path,
        metavar="FILE",
        help="in place of FILE: manifests with the ConfigMap; - is standard input",
    )
    parser.add_argument(
        "--config-map",
        metavar="NAMESPACE/NAME",
        help="which of them, where several have sidecar.yaml",
    )
