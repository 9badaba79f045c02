"""`sidecar redirect check`: is what the pod sends and gets really captured?"""

from __future__ import annotations

import json
import os
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecar.config.address import AddressError, parse_destination
from sidecar.config.problems import ConfigError, Problem
from sidecar.redirect import values
from sidecar.redirect.backend import RedirectError
from sidecar.redirect.doctor.diagnosis import diagnose
from sidecar.redirect.doctor.finding import Check
from sidecar.redirect.doctor.report import report_lines, report_value
from sidecar.redirect.exclusive import exclusive
from sidecar.redirect.gather import Wish, gather
from sidecar.redirect.options import OptionsError, parse_options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from sidecar.config.model import Endpoint
    from sidecar.redirect.doctor.diagnosis import Diagnosis
    from sidecar.redirect.doctor.facts import Facts, Intent
    from sidecar.redirect.model import Redirect
    from sidecar.redirect.options import Settings

    # argparse has no public name for what add_subparsers returns.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SECONDS: Final = "5"
_APPLIED_SECONDS: Final = 30.0
"""An init container has more time: the pod waits for it, and only once."""
_EPILOG: Final = """\
It changes nothing, and the sidecar does not notice: connections are reset before it
could accept them. The options are those of `apply`, and so are their variables. As
root with NET_ADMIN and NET_RAW it reads the rules; without, it says so and makes its
connections all the same. It must not run as the sidecar's user, whose connections are
never captured.

examples:
  sidecar redirect check --config /etc/sidecar/sidecar.yaml
  sidecar redirect check --before-start
  sidecar redirect check --service 10.96.0.1:443 --service '[fd96::1]:443'
  sidecar redirect check --json | jq '.findings[] | select(.level == "problem")'

exit status: 0 nothing is wrong, 1 something is, 2 the options or the configuration are
"""


def add_parser(
    commands: Commands, add_options: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add `check` to the commands of `redirect`."""
    check = commands.add_parser(
        "check",
        help="find what is wrong with the redirection, from inside the pod",
        description="Make connections that must be captured and connections that must\n"
        "not, on IPv4 and IPv6; read the rules; and name what is wrong, and what to do.",
        epilog=_EPILOG,
    )
    add_options(check)
    check.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the sidecar's configuration: is what it guards captured?",
    )
    check.add_argument(
        "--before-start",
        action="store_true",
        help="the sidecar is yet to be started: listen in its place meanwhile",
    )
    check.add_argument(
        "--service",
        action="append",
        metavar="ADDRESS:PORT",
        help="a service address, to see whether sockets are balanced before the rules;"
        " default: that of Kubernetes, from the environment",
    )
    check.add_argument(
        "--ignore",
        action="append",
        choices=[*Check],
        type=Check,
        default=[],
        help="note what is wrong with these, and do not fail for it",
    )
    check.add_argument(
        "--timeout",
        metavar="SECONDS",
        default=_SECONDS,
        help=f"how long all of it may take; default: {_SECONDS}",
    )
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(command=__name__)


def main(arguments: argparse.Namespace) -> int:
    """Look at the pod; give the exit status."""
    environ = dict(os.environ)  # noqa: TID251 - read here, once, and passed on
    try:
        settings, services, seconds = _read_options(arguments, environ)
        intent = None if arguments.config is None else _read_intent(arguments.config)
    except OptionsError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 2
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    path = environ.get("PATH", DEFAULT_PATH)
    before_start = arguments.before_start
    wish = Wish(settings.redirect, services, intent, path, seconds, before_start)
    try:
        diagnosis = diagnose(_look(wish), arguments.ignore)
    except RedirectError as error:
        print(f"sidecar redirect: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(report_value(diagnosis), indent=2))
        return 1 if diagnosis.problems else 0
    return _print(diagnosis)


def check_applied(redirect: Redirect, path: str) -> int:
    """Look at a pod whose rules were applied a moment ago; give the exit status.

    No service is called: what is balanced is no fault of the rules, and who starts the
    pod may have reasons not to look at that.

    Raises:
        RedirectError: Another check is under way, and does not end.
    """
    wish = Wish(redirect, (), None, path, _APPLIED_SECONDS, before_start=True)
    return _print(diagnose(_look(wish)))


def _look(wish: Wish) -> Facts:
    """Look at the pod; alone, where we listen in the sidecar's place.

    Raises:
        RedirectError: Others do so, and have not ended in time.
    """
    if not wish.before_start:
        return gather(wish)
    with exclusive(wish.seconds):
        return gather(wish)


def _print(diagnosis: Diagnosis) -> int:
    print("\n".join(report_lines(diagnosis)))
    return 1 if diagnosis.problems else 0


def _read_options(
    arguments: argparse.Namespace, environ: Mapping[str, str]
) -> tuple[Settings, tuple[Endpoint, ...], int]:
    """Read all options.

    Raises:
        OptionsError: Some are wrong; it has the problems of all of them.
    """
    problems: list[Problem] = []
    settings: Settings | None = None
    seconds = 0
    services: list[Endpoint] = []
    try:
        settings = parse_options(vars(arguments), environ)
    except OptionsError as error:
        problems += error.problems
    try:
        seconds = values.seconds(arguments.timeout)
    except ValueError as error:
        problems.append(Problem("--timeout", str(error)))
    for text in arguments.service or ():
        try:
            services.append(_service(text))
        except AddressError as error:
            problems.append(Problem("--service", str(error)))
    if settings is None or problems:
        raise OptionsError(tuple(problems))
    return settings, tuple(services) or _kubernetes(environ), seconds


def _service(text: str) -> Endpoint:
    endpoint = parse_destination(text)
    try:
        ip_address(endpoint.host)
    except ValueError:
        raise AddressError(
            f"expected an IP address and a port, got the name {endpoint.host!r}"
        ) from None
    return endpoint


def _kubernetes(environ: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """Give the address of the API server, which every pod is told."""
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    port = environ.get("KUBERNETES_SERVICE_PORT", "")
    bracketed = f"[{host}]" if ":" in host else host
    try:
        return (_service(f"{bracketed}:{port}"),)
    except AddressError:
        return ()


def _read_intent(path: Path) -> Intent:
    """Read the configuration and its policy, and no certificate.

    Raises:
        ConfigError: Either of them is wrong.
    """
    from sidecar.config.load import load_config, load_policy  # noqa: PLC0415 - YAML
    from sidecar.policy.model import Policy  # noqa: PLC0415
    from sidecar.redirect.doctor.facts import Intent  # noqa: PLC0415

    config = load_config(path)
    policy = (
        Policy()
        if config.policy is None
        else load_policy(config.policy, config.identity.accept)
    )
    return Intent(config, policy)
