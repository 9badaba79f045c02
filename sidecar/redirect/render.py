"""Rules into the text of iptables-restore: one transaction that changes only ours.

Ours are two chains of the nat table, and the rules of PREROUTING and OUTPUT that
lead to them; with TPROXY, one of nat and two of mangle. Nothing else is ever named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from attrs import field, frozen

from sidecar.redirect import rules
from sidecar.redirect.model import Family, InboundMode
from sidecar.redirect.routing import MARK
from sidecar.redirect.rules import Handling
from sidecar.redirect.words import canonical, target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sidecar.redirect.model import Redirect
    from sidecar.redirect.rules import Rule

INBOUND: Final = "SIDECAR_INBOUND"
OUTBOUND: Final = "SIDECAR_OUTBOUND"
TPROXY: Final = "SIDECAR_TPROXY"
MARKS: Final = "SIDECAR_MARKS"

TABLES: Final = {INBOUND: "nat", OUTBOUND: "nat", TPROXY: "mangle", MARKS: "mangle"}
"""Our chains, and the table that each of them is in."""

_IN: Final = "-A PREROUTING -p tcp -m comment --comment sidecar/inbound -j"
_OUT: Final = "-A OUTPUT -p tcp -m comment --comment sidecar/outbound -j"
_ANSWERS: Final = "-A OUTPUT -p tcp -m comment --comment sidecar/answers -j"

_ANY: Final = {Family.IPV4: "0.0.0.0", Family.IPV6: "::"}  # noqa: S104 - not bound


@frozen
class Owned:
    """What of one family's tables is ours, in the lines of iptables-save.

    Attributes:
        chains: The rules of each of our chains that is there.
        jumps: The rules of PREROUTING and OUTPUT that lead to them.
    """

    chains: Mapping[str, tuple[str, ...]] = field(factory=dict)
    jumps: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.chains or self.jumps)

    @property
    def count(self) -> int:
        """How many rules there are."""
        return len(self.jumps) + sum(map(len, self.chains.values()))

    def same_as(self, other: Owned) -> bool:
        """Tell whether both say the same, however they spell it."""
        return (
            self.chains.keys() == other.chains.keys()
            and all(_same(self.chains[key], other.chains[key]) for key in self.chains)
            and _same_jumps(self, other)
        )


NOTHING: Final = Owned()


def wanted(redirect: Redirect, family: Family) -> Owned:
    """Give what *redirect* asks to be there."""
    chains = {OUTBOUND: rules.outbound(redirect, family)}
    jumps = [f"{_OUT} {OUTBOUND}"]
    if redirect.inbound_mode is InboundMode.TPROXY:
        chains |= {TPROXY: rules.tproxy(redirect, family), MARKS: rules.marks()}
        jumps += [f"{_IN} {TPROXY}", f"{_ANSWERS} {MARKS}"]
    else:
        chains = {INBOUND: rules.inbound(redirect, family), **chains}
        jumps.insert(0, f"{_IN} {INBOUND}")
    lines = {name: tuple(_lines(name, chains[name], family)) for name in chains}
    return Owned(lines, tuple(jumps))


def transition(before: Owned, after: Owned) -> str:
    """Write what makes *before* into *after*, for ``iptables-restore --noflush``."""
    return "".join(transitions(before, after).values())


def transitions(before: Owned, after: Owned) -> dict[str, str]:
    """Write the same, table by table, in the order in which nothing is ever open.

    The kernel takes all of a table or nothing. Jumps that are right already are not
    touched, so that they keep their place among the rules of others.
    """
    tables = dict.fromkeys(TABLES.values())
    parts = {table: (_in(table, before), _in(table, after)) for table in tables}
    # A table that begins comes first, and one that ends comes last.
    order = sorted(
        parts, key=lambda table: bool(parts[table][0]) + (not parts[table][1])
    )
    return {
        table: _transition(table, *parts[table]) for table in order if any(parts[table])
    }


def _in(table: str, owned: Owned) -> Owned:
    """Give what of *owned* is in one table."""
    chains = {
        name: owned.chains[name] for name in owned.chains if TABLES[name] == table
    }
    return Owned(
        chains,
        tuple(each for each in owned.jumps if TABLES.get(target(each) or "") == table),
    )


def _transition(table: str, before: Owned, after: Owned) -> str:
    moved = not _same_jumps(before, after)
    lines = [f"*{table}"]
    # Naming a chain makes it, or empties it.
    lines += [
        f":{chain} - [0:0]"
        for chain in TABLES
        if chain in before.chains or chain in after.chains
    ]
    if moved:
        lines += [f"-D {jump.removeprefix('-A ')}" for jump in before.jumps]
    for chain in after.chains:
        lines += after.chains[chain]
    if moved:
        lines += after.jumps
    lines += [f"-X {chain}" for chain in before.chains if chain not in after.chains]
    return "\n".join([*lines, "COMMIT", ""])


def _same(ones: Sequence[str], others: Sequence[str]) -> bool:
    return [canonical(line) for line in ones] == [canonical(line) for line in others]


def _same_jumps(one: Owned, other: Owned) -> bool:
    """Compare jumps; they are in two chains, which come in any order."""
    return sorted(map(canonical, one.jumps)) == sorted(map(canonical, other.jumps))


def _lines(chain: str, of: Sequence[Rule], family: Family) -> Iterator[str]:
    return (
        " ".join(["-A", chain, *_matches(rule), *_target(rule, family)]) for rule in of
    )


def _matches(rule: Rule) -> Iterator[str]:
    """Write a rule in the order of iptables-save; every word is a typed value's."""
    if rule.destination is not None:
        yield from ("-d", str(rule.destination))
    if rule.in_interface is not None:
        yield from ("-i", rule.in_interface)
    if rule.out_interface is not None:
        yield from ("-o", rule.out_interface)
    yield from ("-p", "tcp")
    if rule.uid is not None:
        yield from ("-m", "owner", "--uid-owner", str(rule.uid))
    if rule.gid is not None:
        yield from ("-m", "owner", "--gid-owner", str(rule.gid))
    for flag, words in _FLAGS.items():
        if getattr(rule, flag):
            yield words
    if rule.ports:
        ports = ",".join(str(each).replace("-", ":") for each in rule.ports)
        yield from ("-m", "multiport", "--dports", ports)
    yield from ("-m", "comment", "--comment", f"sidecar/{rule.why}")


_FLAGS: Final = {
    "elsewhere": "-m addrtype ! --dst-type LOCAL",
    "foreign": "-m addrtype ! --src-type LOCAL",
    "answer": "-m conntrack --ctdir REPLY",
    "on_another": "-m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack ! --ctstate NEW",
    "marked": f"-m connmark --mark {MARK}",
}
_BITS: Final = MARK.partition("/")[2]


def _target(rule: Rule, family: Family) -> Iterator[str]:
    yield "-j"
    match rule.handling:
        case Handling.PASS:
            yield "RETURN"
        case Handling.REDIRECT:
            yield f"REDIRECT --to-ports {rule.to_port}"
        case Handling.TPROXY:
            # No mark: what it hands over is for an address of this pod anyway.
            yield f"TPROXY --on-port {rule.to_port} --on-ip {_ANY[family]}"
            yield "--tproxy-mark 0x0/0x0"
        case Handling.DROP:
            yield "DROP"
        case Handling.MARK_CONNECTION:
            yield f"CONNMARK --set-xmark {MARK}"
        case Handling.MARK_ANSWER:
            yield f"CONNMARK --restore-mark --nfmask {_BITS} --ctmask {_BITS}"
        case _:
            assert_never(rule.handling)
