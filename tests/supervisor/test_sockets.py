from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from sidecar.binding import BindError
from sidecar.config.model import ORIGINAL, Config, Endpoint, Identity, Inbound, Listener
from sidecar.supervisor.sockets import bind_slots
from tests.net.capabilities import no_capabilities

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.supervisor.sockets import SlotSockets

ANY = Endpoint("127.0.0.1", 0)


def config(*listen: Endpoint) -> Config:
    identity = Identity(Path("a"), Path("b"), {})
    listeners = tuple(Listener(each, ORIGINAL) for each in listen)
    return evolve(Config(identity), inbound=Inbound(listeners))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def port(slot: SlotSockets) -> int:
    return slot.inherited()[0].listener.listen.port


def calls(to: int, count: int, stack: ExitStack) -> list[socket.socket]:
    return [
        stack.enter_context(socket.create_connection(("127.0.0.1", to), 5))
        for _ in range(count)
    ]


def accepted(slot: SlotSockets, stack: ExitStack) -> int:
    sock = stack.enter_context(socket.socket(fileno=os.dup(slot.inherited()[0].fd)))
    count = 0
    while True:
        try:
            stack.enter_context(sock.accept()[0])
        except BlockingIOError:
            return count
        count += 1


def test_callers_are_spread_over_all_slots(stack: ExitStack) -> None:
    slots = bind_slots(config(ANY, ANY), 3, stack)
    assert len({port(slot) for slot in slots}) == 1
    assert port(slots[0]) > 0
    assert [len(slot.inherited()) for slot in slots] == [2, 2, 2]
    calls(port(slots[0]), 60, stack)
    counts = [accepted(slot, stack) for slot in slots]
    assert sum(counts) == 60
    assert min(counts) > 0


def test_the_port_that_the_kernel_chose_for_all_is_said_once(
    stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        slots = bind_slots(config(ANY), 3, stack)
    said = [vars(each)["address"] for each in caplog.records]
    assert said == [f"127.0.0.1:{port(slots[0])}"]


def test_a_slot_that_is_closed_leaves_its_callers_to_the_others(
    stack: ExitStack,
) -> None:
    one, other = bind_slots(config(ANY), 2, stack)
    one.close()
    one.close()
    calls(port(other), 20, stack)
    assert accepted(other, stack) == 20


def test_a_slot_that_is_opened_again_gets_no_callers_before_it_listens(
    stack: ExitStack,
) -> None:
    one, other = bind_slots(config(ANY), 2, stack)
    before = one.inherited()
    one.reopen()
    assert one.inherited() == before
    one.close()
    one.reopen()
    stack.callback(one.close)
    assert [each.listener for each in one.inherited()] == [
        each.listener for each in before
    ]
    calls(port(other), 20, stack)
    assert accepted(other, stack) == 20


def test_an_address_in_use_is_named_with_its_place(stack: ExitStack) -> None:
    taken = bind_slots(config(ANY), 2, stack)
    there = Endpoint("127.0.0.1", port(taken[0]))
    with ExitStack() as second, pytest.raises(BindError) as error:
        bind_slots(config(ANY, there), 2, second)
    assert str(error.value) == (
        "inbound.listeners[1].listen: cannot listen there, address already in use, "
        f"got '{there}'"
    )


def test_a_capability_that_is_missing_is_named_with_its_place(
    stack: ExitStack,
) -> None:
    (listener,) = config(ANY).inbound.listeners
    transparent = Inbound((evolve(listener, transparent=True),))
    with no_capabilities(), pytest.raises(BindError) as error:
        bind_slots(evolve(config(ANY), inbound=transparent), 2, stack)
    assert str(error.value).startswith(
        "inbound.listeners[0].listen: cannot listen there, transparent needs the cap"
    )


def test_a_slot_whose_address_somebody_else_has_got_stays_closed(
    stack: ExitStack,
) -> None:
    (slot,) = bind_slots(config(ANY, ANY), 1, stack)
    slot.close()
    last = slot.inherited()[1].listener.listen
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the number alone
    with socket.create_server((last.host, last.port)):
        with pytest.raises(OSError, match="in use"):
            slot.reopen()
        assert [each.fd for each in slot.inherited()] == [-1, -1]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    slot.reopen()
    stack.callback(slot.close)
    assert min(each.fd for each in slot.inherited()) > 0
