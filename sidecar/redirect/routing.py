"""What leads marked packets back into the pod: a rule and a table of the routing.

Only with TPROXY. The application answers to the caller's address, which is somewhere
else; those answers carry our mark, and all that does is delivered here.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from sidecar.redirect.model import InboundMode, Redirect

MARK: Final = "0x539/0xfff"
"""The mark and the bits of it that are ours. 0x539 is 1337, which Istio takes, too;
Kubernetes has 0x4000 and 0x8000, and none of these bits."""
TABLE: Final = 133
"""The routing table, Istio's again (INBOUND_TPROXY_ROUTE_TABLE)."""
PRIORITY: Final = 15006
"""Of our rule: after the local table, before the main one."""

_RULE: Final = f"priority {PRIORITY} fwmark {MARK} lookup {TABLE}"
_ROUTE: Final = f"local default dev lo table {TABLE}"
_SAVED_RULE: Final = re.compile(
    rf"^{PRIORITY}:\s+from all fwmark {MARK} lookup {TABLE}\b", re.MULTILINE
)
_SAVED_ROUTE: Final = re.compile(rf"^{_ROUTE}\b", re.MULTILINE)


@frozen
class Routing:
    """What of one family's routing is ours."""

    rule: bool = False
    route: bool = False

    def __bool__(self) -> bool:
        return self.rule or self.route


def wanted_routing(redirect: Redirect) -> Routing:
    """Give what *redirect* asks to be there; it is the same for both families."""
    needed = redirect.inbound_mode is InboundMode.TPROXY
    return Routing(needed, needed)


def parse_routing(rules: str, routes: str) -> Routing:
    """Read ``ip rule show`` and ``ip route show table all``; other lines say nothing."""
    return Routing(
        _SAVED_RULE.search(rules) is not None, _SAVED_ROUTE.search(routes) is not None
    )


@frozen
class Step:
    """A command of ``ip``, and the one that undoes it."""

    do: str
    undo: str

    def back(self) -> Step:
        """Give the step the other way."""
        return Step(self.undo, self.do)


_ADD_ROUTE: Final = Step(f"route add {_ROUTE}", f"route del {_ROUTE}")
_ADD_RULE: Final = Step(f"rule add {_RULE}", f"rule del {_RULE}")


def steps(before: Routing, after: Routing) -> tuple[Step, ...]:
    """Give what makes *before* into *after*, in order.

    The rule is never there without the route: a packet with our mark would go on to
    the next table, and out of the pod.
    """
    found = []
    if after.route and not before.route:
        found.append(_ADD_ROUTE)
    if after.rule is not before.rule:
        found.append(_ADD_RULE if after.rule else _ADD_RULE.back())
    if before.route and not after.route:
        found.append(_ADD_ROUTE.back())
    return tuple(found)
