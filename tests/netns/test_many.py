"""Ensures that a thousand connections at once are a thousand, and leave nothing."""

from __future__ import annotations

import secrets
import selectors
import socket
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.netns.captures import at
from tests.netns.greetings import listen
from tests.netns.pods import SECONDS
from tests.netns.world import ECHO
from tests.support.deadlines import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.pods import Pod, PodSidecar
    from tests.netns.world import World
    from tests.support.sidecars import Record

COUNT = 1000
SIZE = 2000


def test_a_thousand_at_once(world: World, ipv6: bool) -> None:
    host = world.api.pod.addresses[ipv6]
    sidecars = world.frontend, world.api
    before = [at_rest(each) for each in sidecars]
    with echoing(world.api.pod), ExitStack() as stack:
        # Where one breaks, its record says why, on either side.
        stack.callback(show_broken, sidecars)
        socks = connected(world.frontend.pod, host, stack)
        for _ in range(2):  # the second time, all of them are open
            exchange(socks)
            assert [in_use(each) for each in sidecars] == [COUNT, COUNT]
    for sidecar, descriptors in zip(sidecars, before, strict=True):
        leaves_nothing(sidecar, descriptors)
        records = records_of(sidecar, at(host, ECHO))
        assert [each["outcome"] for each in records] == ["completed"] * COUNT
        sizes = {(each["received"], each["sent"]) for each in records}
        assert sizes == {(2 * SIZE, 2 * SIZE)}


def show_broken(sidecars: tuple[PodSidecar, ...]) -> None:
    for sidecar in sidecars:
        for record in sidecar.access_records():
            if record.get("detail"):
                print(sidecar.name, record)  # noqa: T201


def in_use(sidecar: PodSidecar) -> float:
    return sidecar.metrics()["sidecar_connections_open"]


def at_rest(sidecar: PodSidecar) -> int:
    """Wait until no connection is open; give how many descriptors then are."""
    eventually(lambda: in_use(sidecar) == 0, f"{sidecar.name} has no connections")
    return sidecar.descriptors()


def leaves_nothing(sidecar: PodSidecar, before: int) -> None:
    at_rest(sidecar)
    # Our own question may be one of them, for a moment.
    eventually(lambda: sidecar.descriptors() <= before, "no descriptor is left open")


def records_of(sidecar: PodSidecar, destination: str) -> list[Record]:
    def found() -> list[Record] | None:
        records = [
            each
            for each in sidecar.access_records()
            if each.get("destination") == destination
        ]
        return records if len(records) >= COUNT else None

    return eventually(found, f"{sidecar.name} wrote its records")


def connected(pod: Pod, host: str, stack: ExitStack) -> list[socket.socket]:
    """Connect so often, from one pod; all at the same time."""

    def connect() -> list[socket.socket]:
        return [
            stack.enter_context(socket.create_connection((host, ECHO), SECONDS))
            for _ in range(COUNT)
        ]

    return pod.within(connect)


def exchange(socks: list[socket.socket]) -> None:
    """Send on each what is sent on no other, and get just that back."""
    sent = [secrets.token_bytes(SIZE) for _ in socks]
    for sock, data in zip(socks, sent, strict=True):
        sock.settimeout(6 * SECONDS)
        sock.sendall(data)
    for sock, data in zip(socks, sent, strict=True):
        assert sock.recv(SIZE, socket.MSG_WAITALL) == data


@contextmanager
def echoing(pod: Pod) -> Iterator[None]:
    """Give back whatever comes, to all at the same time."""
    with selectors.DefaultSelector() as selector, listen(pod, ECHO) as listener:
        ours, theirs = socket.socketpair()
        selector.register(listener, selectors.EVENT_READ)
        selector.register(theirs, selectors.EVENT_READ)
        thread = threading.Thread(target=echo, args=(selector, listener, theirs))
        thread.start()
        try:
            yield
        finally:
            ours.close()
            thread.join()


def echo(
    selector: selectors.BaseSelector, listener: socket.socket, end: socket.socket
) -> None:
    with ExitStack() as stack:
        stack.enter_context(end)
        while True:
            for key, _ in selector.select():
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is end:
                    return
                if sock is listener:
                    caller = stack.enter_context(listener.accept()[0])
                    selector.register(caller, selectors.EVENT_READ)
                elif data := sock.recv(65536):
                    sock.sendall(data)
                else:
                    selector.unregister(sock)
                    sock.close()
