"""Whether the rules of a pod and the listeners of its sidecar go together.

Who injects a sidecar makes its rules, and somebody else writes `sidecar.yaml`. With
TPROXY both have to know of it; else whatever comes in is refused, and nothing says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sidecar.config.model import ORIGINAL
from sidecar.config.problems import Problem
from sidecar.redirect import values
from sidecar.redirect.model import InboundMode
from sidecar.redirect.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.model import Config

VARIABLE: Final = next(each.variable for each in OPTIONS if each.name == "inbound_mode")
"""What the init container was told of the inbound mode, and the sidecar is told, too."""


def disagreements(config: Config, inbound_mode: str) -> Iterator[Problem]:
    """Find inbound listeners that do not fit the rules, by what `VARIABLE` says.

    Empty, it says nothing, and any listener will do.
    """
    if not inbound_mode:
        return
    try:
        mode = values.inbound_mode(inbound_mode)
    except ValueError as error:
        yield Problem(VARIABLE, str(error))
        return
    tproxy = mode is InboundMode.TPROXY
    for at, listener in enumerate(config.inbound.listeners):
        if listener.destination == ORIGINAL and listener.transparent is not tproxy:
            yield Problem(
                f"inbound.listeners[{at}].transparent",
                f"the rules of this pod are made for {mode} ({VARIABLE}): "
                + ("set it to true" if tproxy else "leave it out")
                + f", got {str(listener.transparent).lower()}",
            )
