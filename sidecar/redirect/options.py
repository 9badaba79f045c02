"""Options and environment variables into a `Redirect`, with every problem at once.

What is read here is typed, and rules are written from the typed values alone: no
text of an option ever reaches iptables.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import frozen

from sidecar.config.problems import Problem
from sidecar.config.wording import suggestion
from sidecar.redirect import values
from sidecar.redirect.model import Network, Ports, Redirect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sidecar.redirect.model import Backend

T = TypeVar("T")

_PREFIX: Final = "SIDECAR_REDIRECT_"
# What Kubernetes tells a pod of a service whose name begins like ours.
_SERVICE: Final = re.compile(
    r"(?:.*_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_.*)?)"
)
_SERVICE_PORT: Final = re.compile(r"(?:tcp|udp|sctp)://")


@frozen
class Option:
    """An option of ``sidecar redirect``.

    Attributes:
        name: The field of what is read, and the option, with dashes for underscores.
        metavar: What its value is called.
        default: What an empty value means.
        help: What it does.
    """

    name: str
    metavar: str
    default: str
    help: str

    @property
    def flag(self) -> str:
        """How it is written on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Which environment variable stands in for it."""
        return _PREFIX + self.name.upper()


OPTIONS: Final = (
    Option(
        "inbound_mode",
        "MODE",
        "redirect",
        "redirect, or tproxy for a listener with `transparent: true`",
    ),
    Option("inbound_port", "PORT", "15006", "the sidecar's inbound listener"),
    Option("outbound_port", "PORT", "15001", "the sidecar's outbound listener"),
    Option(
        "health_ports", "PORTS", "15020", "the sidecar's own ports for probes, let by"
    ),
    Option("include_inbound_ports", "PORTS", "*", "redirect only these"),
    Option("exclude_inbound_ports", "PORTS", "", "let these into the pod as they are"),
    Option("include_outbound_ports", "PORTS", "*", "redirect only these"),
    Option("exclude_outbound_ports", "PORTS", "", "let these out of it as they are"),
    Option("include_outbound_cidrs", "CIDRS", "*", "redirect only what goes there"),
    Option("exclude_outbound_cidrs", "CIDRS", "", "let out as it is what goes there"),
    Option("exclude_interfaces", "NAMES", "", "redirect nothing that uses these"),
    Option("proxy_uid", "UID", "1337", "the user that the sidecar runs as"),
    Option("proxy_gid", "GID", "1337", "the group that the sidecar runs as"),
)
BACKEND: Final = Option(
    "backend", "NAME", "auto", "which iptables: auto, nft, legacy or plain"
)
LOCK_SECONDS: Final = Option(
    "lock_seconds", "SECONDS", "10", "how long to wait for the lock of iptables"
)


class OptionsError(ValueError):
    """The options were refused; carries every problem, in their order.

    Attributes:
        problems: At least one.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


@frozen
class Settings:
    """What to redirect, and how to tell the kernel."""

    redirect: Redirect
    backend: Backend | None
    """None: whichever has rules already, or works."""
    lock_seconds: int


def parse_options(
    given: Mapping[str, str | None], environ: Mapping[str, str]
) -> Settings:
    """Read the options by their names; what is not given comes from *environ*.

    An empty text, as templates leave it, is the default.

    Raises:
        OptionsError: Any of them is wrong, or they contradict one another.
    """
    reader = _Reader(given, environ)
    redirect = Redirect(
        inbound_mode=reader.read("inbound_mode", values.inbound_mode),
        inbound_port=reader.read("inbound_port", values.port),
        outbound_port=reader.read("outbound_port", values.port),
        health_ports=reader.read("health_ports", values.port_list),
        include_inbound_ports=reader.read("include_inbound_ports", values.all_or_ports),
        exclude_inbound_ports=reader.read("exclude_inbound_ports", values.port_list),
        include_outbound_ports=reader.read(
            "include_outbound_ports", values.all_or_ports
        ),
        exclude_outbound_ports=reader.read("exclude_outbound_ports", values.port_list),
        include_outbound_cidrs=reader.read(
            "include_outbound_cidrs", values.all_or_networks
        ),
        exclude_outbound_cidrs=reader.read(
            "exclude_outbound_cidrs", values.network_list
        ),
        exclude_interfaces=reader.read("exclude_interfaces", values.interface_list),
        proxy_uid=reader.read("proxy_uid", values.identifier),
        proxy_gid=reader.read("proxy_gid", values.identifier),
    )
    settings = Settings(
        redirect,
        reader.read("backend", values.backend),
        reader.read("lock_seconds", values.seconds),
    )
    if not reader.problems:
        reader.problems += _contradictions(redirect, reader)
    reader.problems += _unknown(environ)
    reader.end()
    return settings


def parse_lock_seconds(
    given: Mapping[str, str | None], environ: Mapping[str, str]
) -> int:
    """Read that option alone: what else is wrong keeps no rules from being removed.

    Raises:
        OptionsError: It is wrong.
    """
    reader = _Reader(given, environ)
    seconds = reader.read("lock_seconds", values.seconds)
    reader.end()
    return seconds


class _Reader:
    """Reads options one by one; each that is wrong is one problem."""

    def __init__(
        self, given: Mapping[str, str | None], environ: Mapping[str, str]
    ) -> None:
        self._given = given
        self._environ = environ
        self.problems: list[Problem] = []

    def place(self, name: str) -> str:
        """Say where an option came from: the command line or a variable."""
        option = _BY_NAME[name]
        from_environ = self._given.get(name) is None and self._environ.get(
            option.variable
        )
        return option.variable if from_environ else option.flag

    def read(self, name: str, parse: Callable[[str], T]) -> T:
        """Read one option; where it is wrong, give its default instead."""
        option = _BY_NAME[name]
        text = self._given.get(name)
        if text is None:
            text = self._environ.get(option.variable, "")
        try:
            return parse(text.strip() or option.default)
        except ValueError as error:
            where = self.place(name)
            self.problems += [Problem(where, str(what)) for what in error.args]
            return parse(option.default)

    def end(self) -> None:
        """See that nothing was wrong.

        Raises:
            OptionsError: Something was.
        """
        if self.problems:
            raise OptionsError(tuple(self.problems))


_BY_NAME: Final = {each.name: each for each in (*OPTIONS, BACKEND, LOCK_SECONDS)}


def _unknown(environ: Mapping[str, str]) -> Iterator[Problem]:
    """Find variables that look like ours and are none: typing errors, most likely."""
    known = {name.upper() for name in _BY_NAME}
    for name in sorted(environ):
        rest = name.removeprefix(_PREFIX)
        if rest == name or rest in known or not environ[name].strip():
            continue
        if not _SERVICE.fullmatch(rest) and not _SERVICE_PORT.match(environ[name]):
            meant = suggestion(rest, known).replace("'", f"'{_PREFIX}", 1)
            yield Problem(name, f"unknown{meant}")


def _contradictions(redirect: Redirect, reader: _Reader) -> list[Problem]:
    """Find what cannot hold together; each is said at the option to change."""
    problems: list[Problem] = []
    if redirect.inbound_port == redirect.outbound_port:
        problems.append(
            Problem(
                reader.place("outbound_port"),
                f"the two listeners have two ports, got {redirect.outbound_port} twice",
            )
        )
    listeners = (redirect.inbound_port, redirect.outbound_port)
    for name in ("health_ports", "exclude_inbound_ports"):
        ports: tuple[Ports, ...] = getattr(redirect, name)
        problems += [
            Problem(
                reader.place(name),
                f"the sidecar's listener {port} is never let by, got {each}",
            )
            for each in ports
            for port in listeners
            if each.covers(Ports(port, port))
        ]
    for kind in ("inbound_ports", "outbound_ports", "outbound_cidrs"):
        name = f"exclude_{kind}"
        included = getattr(redirect, f"include_{kind}") or ()
        excluded = getattr(redirect, name)
        problems += [
            Problem(
                reader.place(name),
                f"{each} is all of the included {inner}: leave out one of them",
            )
            for each in excluded
            for inner in included
            if _covers(each, inner)
        ]
    return problems


def _covers(outer: Ports | Network, inner: Ports | Network) -> bool:
    if isinstance(outer, Ports):
        return isinstance(inner, Ports) and outer.covers(inner)
    return (
        not isinstance(inner, Ports)
        and outer.version == inner.version
        and outer.prefixlen <= inner.prefixlen
        and inner.network_address in outer
    )
