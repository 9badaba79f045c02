"""Rules into the text of iptables-restore: one transaction that changes only ours.

Ours are two chains of the nat table, and the rules of PREROUTING and OUTPUT that
lead to them. Nothing else is ever named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from sidecar.redirect import rules
from sidecar.redirect.words import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sidecar.redirect.model import Family, Redirect
    from sidecar.redirect.rules import Rule

INBOUND: Final = "SIDECAR_INBOUND"
OUTBOUND: Final = "SIDECAR_OUTBOUND"
OWN_CHAINS: Final = (INBOUND, OUTBOUND)

_JUMPS: Final = (
    f"-A PREROUTING -p tcp -m comment --comment sidecar/inbound -j {INBOUND}",
    f"-A OUTPUT -p tcp -m comment --comment sidecar/outbound -j {OUTBOUND}",
)


@frozen
class Owned:
    """What of one family's nat table is ours, in the lines of iptables-save.

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
    return Owned(
        {
            INBOUND: tuple(_lines(INBOUND, rules.inbound(redirect, family))),
            OUTBOUND: tuple(_lines(OUTBOUND, rules.outbound(redirect, family))),
        },
        _JUMPS,
    )


def transition(before: Owned, after: Owned) -> str:
    """Write what makes *before* into *after*, for ``iptables-restore --noflush``.

    The kernel takes all of it or nothing. Jumps that are right already are not
    touched, so that they keep their place among the rules of others.
    """
    moved = not _same_jumps(before, after)
    lines = ["*nat"]
    # Naming a chain makes it, or empties it.
    lines += [
        f":{chain} - [0:0]"
        for chain in OWN_CHAINS
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


def _lines(chain: str, of: Sequence[Rule]) -> Iterator[str]:
    return (" ".join(["-A", chain, *_words(rule)]) for rule in of)


def _words(rule: Rule) -> Iterator[str]:
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
    if rule.elsewhere:
        yield from ("-m", "addrtype", "!", "--dst-type", "LOCAL")
    if rule.ports:
        ports = ",".join(str(each).replace("-", ":") for each in rule.ports)
        yield from ("-m", "multiport", "--dports", ports)
    yield from ("-m", "comment", "--comment", f"sidecar/{rule.why}")
    if rule.to_port is None:
        yield from ("-j", "RETURN")
    else:
        yield from ("-j", "REDIRECT", "--to-ports", str(rule.to_port))
