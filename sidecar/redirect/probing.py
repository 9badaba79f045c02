"""The connections that a check makes, one after the other."""

from __future__ import annotations

import os
import secrets
import time
from typing import TYPE_CHECKING, Final

from attrs import define, evolve, field, frozen

from sidecar.config.model import Endpoint
from sidecar.net.addr import endpoint_of
from sidecar.redirect.call import (
    Call,
    answers,
    call,
    call_for,
    listening,
    original_destination,
    source_towards,
)
from sidecar.redirect.doctor.facts import Aim, Fate, Probe, Service
from sidecar.redirect.doctor.sockets import LOOPBACK
from sidecar.redirect.doctor.targets import Unreachable, captured, let_by
from sidecar.redirect.model import InboundMode

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from contextlib import ExitStack

    from sidecar.redirect.doctor.targets import Route
    from sidecar.redirect.model import Family, Redirect

_CAPTURED_SECONDS: Final = 1.0
"""What is captured is answered by this machine, at once."""
_ACCEPT_SECONDS: Final = 1.0
"""For ourselves to accept, where we stand in: it takes no time, but must not be short
of it, as a connection that was not accepted says that something is wrong."""
_OUTSIDE_SECONDS: Final = 0.3
"""For somebody outside the pod to answer."""
_PASSED_SECONDS: Final = 0.1
"""And so what is not answered in this time was not captured."""
_TRIES: Final = 3
"""Before something is said to be wrong: a packet may get lost, or have the ends of a
connection that the kernel still remembers."""
_AGAIN_SECONDS: Final = 0.3
_NOWHERE: Final = "there is no listening at {}"


@frozen
class Deadline:
    """When all has to be done; what is late is left out, and says so."""

    at: float

    @property
    def left(self) -> float:
        """How many seconds are left; never less than none."""
        return max(0.0, self.at - time.monotonic())

    @property
    def why_not(self) -> str:
        """What is said of that which it was too late for."""
        return "no time was left for it: --timeout"


@define
class Probing:
    """Makes the connections, one after the other."""

    redirect: Redirect
    routes: tuple[Route, ...]
    deadline: Deadline
    standing_in: dict[Family, socket.socket] = field(factory=dict)

    def stand_in(self, stack: ExitStack, families: Sequence[Family]) -> None:
        """Listen where the sidecar will, and does not yet."""
        for family in families:
            at = LOOPBACK[family], self.redirect.outbound_port
            listener = stack.enter_context(listening(*at))
            if listener is not None:
                self.standing_in[family] = listener

    def probes(self, family: Family) -> Iterator[Probe]:
        """Make every connection that says something, in one family."""
        target = self._target(family)
        if isinstance(target, Unreachable):
            fate = Fate.NOWHERE if target.by_nobody else Fate.UNTRIED
            yield Probe(Aim.CAPTURED, family, None, fate, why_not=target.why)
        else:
            yield self._captured(family, target)
            yield self._as_the_proxy(family, target)
            if own := source_towards(target):
                yield self._to_itself(Aim.OWN_ADDRESS, family, own)
                if self.redirect.inbound_mode is InboundMode.TPROXY:
                    yield self._for_somebody(family, own, target.host)
        yield self._to_itself(Aim.LOOPBACK, family, LOOPBACK[family])
        for each in let_by(self.redirect, family, self.routes, _fresh()):
            yield self._made(Aim.EXCLUDED, family, each, _PASSED_SECONDS)

    def _target(self, family: Family) -> Endpoint | Unreachable:
        return captured(self.redirect, family, self.routes, _fresh())

    def service(self, address: Endpoint) -> Service:
        """Call a service address, and see what its socket has instead."""
        if not self.deadline.left:
            return Service(address, None, self.deadline.why_not)
        made = call(address, min(_PASSED_SECONDS, self.deadline.left))
        why_not = made.why_not or "it was refused at once"
        return Service(address, made.remote, "" if made.remote else why_not)

    def _captured(self, family: Family, target: Endpoint) -> Probe:
        if self._is_proxy():
            why_not = (
                "the check itself runs with the sidecar's user or group"
                f" ({os.geteuid()}, {os.getegid()}), whose connections the rules let"
                " by: run it with another one, in a container of its own"
            )
            return Probe(Aim.CAPTURED, family, target, Fate.UNTRIED, why_not=why_not)
        probe = self._made(Aim.CAPTURED, family, target, _CAPTURED_SECONDS)
        seconds = min(_OUTSIDE_SECONDS, self.deadline.left)
        listener = self.standing_in.get(family)
        if probe.fate is Fate.LEFT and answers(target, seconds):
            return evolve(probe, fate=Fate.ANSWERED)
        ours = endpoint_of(listener.getsockname()) if listener is not None else None
        if listener is not None and probe.at is not None and probe.at.local == ours:
            original = original_destination(target, listener, _ACCEPT_SECONDS)
            return evolve(probe, stood_in=True, original=original)
        return probe

    def _as_the_proxy(self, family: Family, target: Endpoint) -> Probe:
        another = self._target(family)
        target = target if isinstance(another, Unreachable) else another
        user = self.redirect.proxy_uid, self.redirect.proxy_gid
        if self._is_proxy():
            return self._made(Aim.PROXY, family, target, _PASSED_SECONDS)
        if os.geteuid() == 0:
            return self._made(Aim.PROXY, family, target, _PASSED_SECONDS, user)
        why_not = "only root may take the sidecar's user"
        return Probe(Aim.PROXY, family, target, Fate.UNTRIED, why_not=why_not)

    def _is_proxy(self) -> bool:
        redirect = self.redirect
        return os.geteuid() == redirect.proxy_uid or os.getegid() == redirect.proxy_gid

    def _to_itself(self, aim: Aim, family: Family, host: str) -> Probe:
        with listening(host, 0) as listener:
            if listener is None:
                fate = Fate.NOWHERE if aim is Aim.LOOPBACK else Fate.UNTRIED
                return Probe(aim, family, None, fate, why_not=_NOWHERE.format(host))
            target = Endpoint(host, listener.getsockname()[1])
            return self._made(aim, family, target, _CAPTURED_SECONDS)

    def _for_somebody(self, family: Family, own: str, caller: str) -> Probe:
        """Call the pod's own address as the sidecar does: from its caller's."""
        aim = Aim.ANSWER
        with listening(own, 0) as listener:
            if listener is None or not self.deadline.left:
                why_not = self.deadline.why_not if listener else _NOWHERE.format(own)
                return Probe(aim, family, None, Fate.UNTRIED, why_not=why_not)
            target = Endpoint(own, listener.getsockname()[1])
            made = call_for(caller, target, min(_ACCEPT_SECONDS, self.deadline.left))
            return Probe(aim, family, target, made.fate, made.at, made.why_not)

    def _made(
        self,
        aim: Aim,
        family: Family,
        target: Endpoint,
        seconds: float,
        user: tuple[int, int] | None = None,
    ) -> Probe:
        if not self.deadline.left:
            why_not = self.deadline.why_not
            return Probe(aim, family, target, Fate.UNTRIED, why_not=why_not)
        made = call(target, min(seconds, self.deadline.left), user)
        for _ in range(1, _TRIES):
            left = min(seconds, _AGAIN_SECONDS, self.deadline.left)
            if not left or self._is_as_it_should(aim, target, made):
                break
            made = call(target, left, user)
        return Probe(aim, family, target, made.fate, made.at, made.why_not)

    def _is_as_it_should(self, aim: Aim, target: Endpoint, made: Call) -> bool:
        """Tell whether nothing is wrong; else one more connection has to bear it out."""
        at = made.at.local if made.at is not None else None
        if made.fate in {Fate.REFUSED, Fate.UNTRIED}:
            return True  # so are all
        if aim is Aim.CAPTURED:
            return at is not None and at.port == self.redirect.outbound_port
        return at == (target if aim in {Aim.LOOPBACK, Aim.OWN_ADDRESS} else None)


def _fresh() -> int:
    return secrets.randbelow(1 << 64)
