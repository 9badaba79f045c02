"""Ensures that nothing goes round a sidecar that was killed, until another is there."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import pytest
from attrs import define, field

from tests.netns.pods import SECONDS, ask
from tests.netns.world import APP, SECOND, marker
from tests.support.deadlines import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.pods import Pod
    from tests.netns.world import World

Result = Literal["answered", "refused", "broken"]


@define
class Traffic:
    """An application that calls another, again and again, until it is told to stop."""

    pod: Pod
    host: str
    path: str
    results: list[Result] = field(factory=list)
    _stop: threading.Event = field(factory=threading.Event)

    def run(self) -> None:
        while not self._stop.wait(0.002):  # others need the processor, too
            self.results.append(self.call())

    def call(self) -> Result:
        try:
            sock = self.pod.within(
                lambda: socket.create_connection((self.host, APP), SECONDS)
            )
        except ConnectionRefusedError:
            return "refused"
        except ConnectionError:
            return "broken"
        try:
            with sock:
                return "answered" if ask(sock, self.path) else "broken"
        except ConnectionError:
            return "broken"

    def stop(self) -> None:
        self._stop.set()

    def more(self, wanted: Result, *, count: int = 10) -> list[Result]:
        """Wait until so many of the calls from now on have come to this; give all."""
        done = len(self.results)

        def enough() -> bool:
            return self.results[done:].count(wanted) >= count

        eventually(enough, f"{count} calls {wanted}")
        return self.results[done:]


@contextmanager
def calling(pod: Pod, host: str, path: str) -> Iterator[Traffic]:
    traffic = Traffic(pod, host, path)
    thread = threading.Thread(target=traffic.run)
    thread.start()
    try:
        yield traffic
    finally:
        traffic.stop()
        thread.join()


@pytest.mark.parametrize("victim", ["frontend", "api"])
def test_nothing_is_in_plain_while_a_sidecar_is_away(
    world: World, ipv6: bool, victim: Literal["frontend", "api"]
) -> None:
    host, secret = world.api.pod.addresses[ipv6], marker()
    sidecar = {"frontend": world.frontend, "api": world.api}[victim]
    with (
        world.hub.capture("api") as seen,
        world.frontend.pod.connect(host, SECOND) as old,
        calling(world.frontend.pod, host, secret) as traffic,
    ):
        old.sendall(f"GET {secret}/old".encode())
        traffic.more("answered")
        with sidecar.killed():
            # What was under way when it died may have had its answer.
            failure: Result = "refused" if victim == "frontend" else "broken"
            traffic.more(failure, count=1)
            assert "answered" not in traffic.more(failure)
            assert goes_on(old, secret) is False
            if victim == "api":
                with pytest.raises(ConnectionRefusedError):
                    world.stranger.connect(host, APP)
        assert goes_on(old, secret) is False
        traffic.more("answered", count=1)
        assert set(traffic.more("answered")) == {"answered"}
        assert not seen.shows(secret.encode())


def goes_on(sock: socket.socket, path: str) -> bool:
    """Say whether a connection of before has come back to life."""
    try:
        return bool(ask(sock, path))
    except ConnectionError:
        return False
