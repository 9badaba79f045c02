"""Options and environment variables into a `Redirect`, with every problem at once.

What is read here is typed, and rules are written from the typed values alone: no
text of an option ever reaches iptables.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import frozen

from sidecar.config.problems import Problem
from sidecar.redirect.model import Backend, Network, Ports, Redirect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

_PREFIX: Final = "SIDECAR_REDIRECT_"
_MOST: Final = 1000
_LONGEST_WAIT: Final = 300
_LAST_ID: Final = 2**32 - 2  # 2**32 - 1 is "no user", chown(2)
_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_PORTS: Final = re.compile(r"([0-9]{1,10})(?:[-:]([0-9]{1,10}))?")
# dev_valid_name() of Linux lets through more; what the rest is good for is trouble.
# A last `+` would be a pattern to iptables.
_INTERFACE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,14}")


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
        inbound_port=reader.read("inbound_port", _port),
        outbound_port=reader.read("outbound_port", _port),
        health_ports=reader.read("health_ports", _port_list),
        include_inbound_ports=reader.read("include_inbound_ports", _all_or_ports),
        exclude_inbound_ports=reader.read("exclude_inbound_ports", _port_list),
        include_outbound_ports=reader.read("include_outbound_ports", _all_or_ports),
        exclude_outbound_ports=reader.read("exclude_outbound_ports", _port_list),
        include_outbound_cidrs=reader.read("include_outbound_cidrs", _all_or_networks),
        exclude_outbound_cidrs=reader.read("exclude_outbound_cidrs", _network_list),
        exclude_interfaces=reader.read("exclude_interfaces", _interface_list),
        proxy_uid=reader.read("proxy_uid", _id),
        proxy_gid=reader.read("proxy_gid", _id),
    )
    settings = Settings(
        redirect,
        reader.read("backend", _backend),
        reader.read("lock_seconds", _seconds),
    )
    if not reader.problems:
        reader.problems += _contradictions(redirect, reader)
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
    seconds = reader.read("lock_seconds", _seconds)
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


def _backend(text: str) -> Backend | None:
    if text == "auto":
        return None
    try:
        return Backend(text)
    except ValueError:
        raise ValueError(
            f"one of 'auto', 'nft', 'legacy', 'plain', got {_shown(text)}"
        ) from None


def _seconds(text: str) -> int:
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= _LONGEST_WAIT:
        raise ValueError(f"a number from 1 to {_LONGEST_WAIT}, got {_shown(text)}")
    return number


def _port(text: str) -> int:
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= 65535:
        raise ValueError(f"a port is a number from 1 to 65535, got {_shown(text)}")
    return number


def _ports(text: str) -> Ports:
    match = _PORTS.fullmatch(text)
    first, last = match.groups() if match else (text, None)
    ports = Ports(_port(first), _port(first if last is None else last))
    if ports.first > ports.last:
        raise ValueError(f"a range begins with its lower port, got {_shown(text)}")
    return ports


def _network(text: str) -> Network:
    try:
        # A zone would be a text of anybody's choice within the network.
        meant = ipaddress.ip_network("" if "%" in text else text, strict=False)
    except ValueError:
        raise ValueError(
            f"a network is an address and a length, as 10.0.0.0/8, got {_shown(text)}"
        ) from None
    if ipaddress.ip_interface(text).ip != meant.network_address:
        raise ValueError(
            f"a network has no host bits: {meant} is one, got {_shown(text)}"
        )
    return meant


def _interface(text: str) -> str:
    if not _INTERFACE.fullmatch(text):
        raise ValueError(
            "an interface has a name of 1 to 15 letters, digits or . _ @ -,"
            f" got {_shown(text)}"
        )
    if text == "lo":
        raise ValueError("lo is never redirected, and cannot be excluded")
    return text


def _id(text: str) -> int:
    number = int(text) if _NUMBER.fullmatch(text) else -1
    if not 1 <= number <= _LAST_ID:
        raise ValueError(
            f"an id is a number from 1 to {_LAST_ID}, and not root's: what has it"
            f" passes the sidecar by, got {_shown(text)}"
        )
    return number


def _list(text: str, parse: Callable[[str], T]) -> tuple[T, ...]:
    """Read a list with commas.

    Raises:
        ValueError: Items are wrong; it has a sentence for each of them.
    """
    words = [word.strip() for word in text.split(",")]
    if len(words) > _MOST:
        raise ValueError(f"a list has at most {_MOST} items, got {len(words)}")
    found: dict[T, None] = {}
    wrong: list[str] = []
    for word in filter(None, words):
        try:
            found[parse(word)] = None
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError(*wrong)
    return tuple(found)


def _port_list(text: str) -> tuple[Ports, ...]:
    """Read ports; sorted, and without those that others of them cover."""
    found = sorted(_list(text, _ports), key=lambda each: (each.first, -each.last))
    kept: list[Ports] = []
    for each in found:
        if not kept or not kept[-1].covers(each):
            kept.append(each)
    return tuple(kept)


def _network_list(text: str) -> tuple[Network, ...]:
    return _list(text, _network)


def _interface_list(text: str) -> tuple[str, ...]:
    return _list(text, _interface)


def _all_or_ports(text: str) -> tuple[Ports, ...] | None:
    return None if text == "*" else _named(_port_list(text), text)


def _all_or_networks(text: str) -> tuple[Network, ...] | None:
    return None if text == "*" else _named(_network_list(text), text)


def _named(found: tuple[T, ...], text: str) -> tuple[T, ...]:
    if not found:
        raise ValueError(f"nothing is named: write '*' for all, got {_shown(text)}")
    return found


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
    if isinstance(inner, Ports) or outer.version != inner.version:
        return False
    first, last = (int(outer.network_address), int(outer.broadcast_address))
    return first <= int(inner.network_address) <= last and (
        outer.prefixlen <= inner.prefixlen
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
