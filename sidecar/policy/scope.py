"""What the rules that name one peer ask besides: the port and the source.

A scope answers which of its rules comes first in the file, by number. It costs a few
dictionary look-ups, however many rules, ports and networks there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from sidecar.policy.model import Network, Rule

Source: TypeAlias = tuple[int, int]
"""An address as IP version and number, to be compared with `comparable` ones."""

_MAPPED: Final = 0xFFFF  # ::ffff:0:0/96 without its last 32 bits (RFC 4291, 2.5.5.2)


def comparable(address: IPv4Address | IPv6Address) -> Source:
    """Return *address* as rules compare it: IPv4 seen through IPv6 is IPv4."""
    number = int(address)
    if address.version == 6 and number >> 32 == _MAPPED:
        return 4, number & 0xFFFFFFFF
    return address.version, number


def _comparable_network(network: Network) -> tuple[int, int, int]:
    # The version, the bits after the prefix, and the prefix as a number. A network
    # inside mapped IPv4 begins with a mapped address. One around it, such as ::/0,
    # does not, and is of IPv6 addresses only.
    suffix = network.max_prefixlen - network.prefixlen
    version, number = comparable(network.network_address)
    return version, suffix, number >> suffix


class Sources:
    """Where connections come from, for rules whose peer and port match.

    Attributes:
        first: The first of the rules, wherever a connection comes from.
    """

    __slots__ = ("_anywhere", "_networks", "first")

    def __init__(self, rules: Sequence[Rule], numbers: Sequence[int]) -> None:
        """Index the rules of some ascending *numbers*, at least one."""
        self.first = numbers[0]
        self._anywhere: int | None = None
        # By version, then by the bits after the prefix: at most 33 and 129 of them.
        self._networks: dict[int, dict[int, dict[int, int]]] | None = None
        for number in numbers:
            sources = rules[number].sources
            if sources is None:
                self._anywhere = number
                break  # whatever comes later comes second
            for network in sources:
                self._insert(network, number)

    def _insert(self, network: Network, number: int) -> None:
        if self._networks is None:
            self._networks = {4: {}, 6: {}}
        version, suffix, prefix = _comparable_network(network)
        self._networks[version].setdefault(suffix, {}).setdefault(prefix, number)

    def match(self, source: Source) -> int | None:
        """Return the first rule that takes *source*, None if none does."""
        found = self._anywhere
        if self._networks is None:
            return found
        version, address = source
        for suffix, prefixes in self._networks[version].items():
            number = prefixes.get(address >> suffix)
            if number is not None and (found is None or number < found):
                found = number
        return found


class OneRule(Sources):
    """The scope of a single rule. Most peers have just one, so it is kept small."""

    __slots__ = ("_ports",)

    def __init__(self, rules: Sequence[Rule], number: int) -> None:
        super().__init__(rules, (number,))
        self._ports = rules[number].ports

    def at(self, port: int) -> Sequence[Sources]:
        """Return from where its rules let a connection come to *port*."""
        if self._ports is None or port in self._ports:
            return (self,)
        return ()


class ManyRules:
    """The scope of several rules.

    Attributes:
        first: The first of them.
    """

    __slots__ = ("_any_port", "_by_port", "first")

    def __init__(
        self, first: int, any_port: Sources | None, by_port: Mapping[int, Sources]
    ) -> None:
        self.first = first
        self._any_port = () if any_port is None else (any_port,)
        self._by_port = {p: (s, *self._any_port) for p, s in by_port.items()}

    def at(self, port: int) -> Sequence[Sources]:
        """Return from where its rules let a connection come to *port*."""
        return self._by_port.get(port, self._any_port)


Scope: TypeAlias = OneRule | ManyRules


class Scopes:
    """The scopes of a policy's rules, each made once.

    Peers that the same rules name share a scope, and ports that the same rules name
    share its sources, so that a rule with many of each does not cost their product.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._scopes: dict[tuple[int, ...], Scope] = {}
        self._sources: dict[tuple[int, ...], Sources] = {}

    def of(self, numbers: Sequence[int]) -> Scope:
        """Return the scope of the rules of some ascending *numbers*, at least one."""
        key = tuple(numbers)
        scope = self._scopes.get(key)
        if scope is None:
            scope = self._scopes[key] = self._scope(key)
        return scope

    def _scope(self, numbers: tuple[int, ...]) -> Scope:
        if len(numbers) == 1:
            return OneRule(self._rules, numbers[0])
        any_port: list[int] = []
        by_port: dict[int, list[int]] = {}
        for number in numbers:
            ports = self._rules[number].ports
            if ports is None:
                any_port.append(number)
                continue
            for port in ports:
                by_port.setdefault(port, []).append(number)
        return ManyRules(
            numbers[0],
            self._sources_of(any_port) if any_port else None,
            {port: self._sources_of(named) for port, named in by_port.items()},
        )

    def _sources_of(self, numbers: Sequence[int]) -> Sources:
        key = tuple(numbers)
        sources = self._sources.get(key)
        if sources is None:
            sources = self._sources[key] = Sources(self._rules, key)
        return sources
