"""`sidecar redirect`: the iptables rules of a pod, shown, applied and removed.

What `check` does is in `redirect_check`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecar.commands import redirect_check
from sidecar.commands.redirect_check import DEFAULT_PATH
from sidecar.redirect import apply, backend, iproute
from sidecar.redirect.exclusive import exclusive
from sidecar.redirect.model import Family
from sidecar.redirect.options import (
    BACKEND,
    LOCK_SECONDS,
    OPTIONS,
    Option,
    OptionsError,
    parse_lock_seconds,
    parse_options,
)
from sidecar.redirect.render import NOTHING, transition, wanted
from sidecar.redirect.routing import Routing, steps, wanted_routing

if TYPE_CHECKING:
    from collections.abc import Mapping

    # argparse has no public name for what add_subparsers returns.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

_RESTORE: Final = {Family.IPV4: "iptables-restore", Family.IPV6: "ip6tables-restore"}

_LISTS: Final = """\
PORTS are numbers and ranges, as 80,8000-8010; CIDRS are networks of either family, as
10.0.0.0/8,fd00::/8; '*' is all of them. Both families get the same rules. A family of
which CIDRS include no network is redirected whole. Each option is also a variable of
the environment: --proxy-uid is SIDECAR_REDIRECT_PROXY_UID.
"""
_REDIRECT: Final = """\
examples:
  sidecar redirect show
  sidecar redirect apply --exclude-outbound-ports 53,3306
  sidecar redirect check --config /etc/sidecar/sidecar.yaml
  sidecar redirect remove
"""
_APPLY: Final = f"""\
{_LISTS}
examples:
  sidecar redirect apply --check
  sidecar redirect apply --exclude-inbound-ports 9100 --exclude-outbound-cidrs 169.254.169.254/32
"""
_SHOW: Final = f"""\
{_LISTS}
examples:
  sidecar redirect show --include-outbound-cidrs 10.0.0.0/8
  sidecar redirect show --family ipv6 | ip6tables-restore --noflush --test
"""
_REMOVE: Final = """\
example:
  sidecar redirect remove
"""


def add_parser(commands: Commands) -> None:
    """Add `redirect` and its commands."""
    redirect = commands.add_parser(
        "redirect",
        help="the iptables rules that turn a pod's TCP to the sidecar",
        description="Turn all TCP of a pod to the sidecar that runs beside the\n"
        "application, with iptables, on IPv4 and IPv6. For an init container.",
        epilog=_REDIRECT,
    )
    below = redirect.add_subparsers(title="commands", metavar="COMMAND", required=True)
    added = below.add_parser(
        "apply",
        help="put the rules in place; needs NET_ADMIN and NET_RAW",
        description="Put the rules in place, in both families or in none. What is in\n"
        "place already is not touched, and nor is any rule of somebody else.",
        epilog=_APPLY,
    )
    _add_options(added)
    _add_option(added, BACKEND)
    _add_option(added, LOCK_SECONDS)
    added.add_argument(
        "--check",
        action="store_true",
        help="then see that they capture, as `check --before-start` does; fail if not",
    )
    added.set_defaults(command=__name__, act=_apply)
    shown = below.add_parser(
        "show",
        help="print the rules; needs no permission",
        description="Print what `apply` gives to iptables-restore and\n"
        "ip6tables-restore where nothing is in place yet.",
        epilog=_SHOW,
    )
    _add_options(shown)
    shown.add_argument(
        "--family", choices=[*Family], type=Family, help="print only this one's"
    )
    shown.set_defaults(command=__name__, act=_show)
    removed = below.add_parser(
        "remove",
        help="take the rules away again; needs NET_ADMIN and NET_RAW",
        description="Take away what `apply` put in place, and nothing else.",
        epilog=_REMOVE,
    )
    _add_option(removed, LOCK_SECONDS)
    removed.set_defaults(command=__name__, act=_remove)
    redirect_check.add_parser(below, _add_options)


def main(arguments: argparse.Namespace) -> int:
    """Do what *arguments* name; give the exit status."""
    environ = dict(os.environ)  # noqa: TID251 - read here, once, and passed on
    try:
        status: int = arguments.act(arguments, environ)
    except OptionsError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 2
    except backend.RedirectError as error:
        print(f"sidecar redirect: {error}", file=sys.stderr)
        return 1
    return status


def _apply(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    settings = parse_options(vars(arguments), environ)
    found = _tables(environ, settings.lock_seconds)
    interfaces = backend.ipv6_addresses(_read(Path("/proc/self/net/if_inet6")))
    routes = iproute.find_routes(environ.get("PATH", DEFAULT_PATH))
    redirect = settings.redirect
    for option, number in (
        ("--proxy-uid", redirect.proxy_uid),
        ("--proxy-gid", redirect.proxy_gid),
    ):
        id_map = _read(Path(f"/proc/self/{option.removeprefix('--proxy-')}_map"))
        backend.check_mapped(option, number, id_map)
    _take_back_at_sigterm()
    with exclusive(settings.lock_seconds):
        said = apply.apply(
            settings.redirect, found, settings.backend, interfaces, routes
        )
    print("\n".join(said))
    if arguments.check:
        path = environ.get("PATH", DEFAULT_PATH)
        return redirect_check.check_applied(settings.redirect, path)
    return 0


def _take_back_at_sigterm() -> None:
    """Have a container that is told to end do as Ctrl-C does: take back what it began.

    The first process of a container would not even hear of it (pid_namespaces(7)).
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _show(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    redirect = parse_options(vars(arguments), environ).redirect
    for family in [arguments.family] if arguments.family else Family:
        print(f"# {_RESTORE[family]} --noflush")
        print(transition(NOTHING, wanted(redirect, family)), end="")
        for step in steps(Routing(), wanted_routing(redirect)):
            print(f"# ip -{family.version} {step.do}")
    return 0


def _remove(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    seconds = parse_lock_seconds(vars(arguments), environ)
    found = _tables(environ, seconds)
    routes = iproute.find_routes(environ.get("PATH", DEFAULT_PATH))
    _take_back_at_sigterm()
    with exclusive(seconds):
        said = apply.remove(found, routes)
    print("\n".join(said))
    return 0


def _tables(
    environ: Mapping[str, str], lock_seconds: int
) -> list[tuple[backend.Tables, backend.Tables]]:
    found = backend.find_tables(environ.get("PATH", DEFAULT_PATH), lock_seconds)
    backend.check_permission(_read(Path("/proc/self/status")))
    return found


def _read(path: Path) -> str:
    """Read a file of the kernel; one that is not there, as without IPv6, is empty."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _add_options(parser: argparse.ArgumentParser) -> None:
    for option in OPTIONS:
        _add_option(parser, option)


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    default = f"; default: {option.default}" if option.default else ""
    parser.add_argument(
        option.flag,
        action=_Once,
        metavar=option.metavar,
        help=option.help + default,
    )


class _Once(argparse.Action):
    """Takes an option once: of two lists, nobody knows that the second one counts."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        _option: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        if before is not None:
            raise argparse.ArgumentError(
                self, f"given twice, {before!r} and {values!r}: a list has commas"
            )
        setattr(namespace, self.dest, values)
