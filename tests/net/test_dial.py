from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from sidecar.net.dial import dial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock

HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


@contextlib.contextmanager
def listening(*hosts: str, backlog: int = 8) -> Iterator[list[socket.socket]]:
    """Listen on these addresses, all on one port."""
    with contextlib.ExitStack() as stack:
        listeners: list[socket.socket] = []
        port = 0
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = stack.enter_context(socket.socket(family))
            listener.bind((host, port))
            listener.listen(backlog)
            port = listener.getsockname()[1]
            listeners.append(listener)
        yield listeners


@contextlib.contextmanager
def swallowing(host: str, *others: str) -> Iterator[int]:
    """A port that answers nothing on *host*: its queue is full. Gives the port."""
    with listening(host, *others, backlog=0) as (full, *_), contextlib.ExitStack() as s:
        for _ in range(3):
            sock = s.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@pytest.fixture
def unused() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    yield
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_one_that_accepts_is_connected(host: str) -> None:
    with listening(host) as (listener,), await dial([host], port_of(listener)) as sock:
        assert sock.getpeername() == listener.getsockname()
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_the_first_that_accepts_is_taken() -> None:
    with (
        listening("127.0.0.2", "127.0.0.3") as (second, _),
        await dial(HOSTS, port_of(second)) as sock,
    ):
        assert sock.getpeername()[0] == "127.0.0.2"


async def test_where_all_refuse_the_last_refusal_is_raised(unused: int) -> None:
    with pytest.raises(ConnectionRefusedError, match=f"127.0.0.3 port {unused}"):
        await dial(HOSTS, unused)


async def test_a_name_without_addresses_is_an_error() -> None:
    with pytest.raises(OSError, match="the name has no address yet") as raised:
        await dial([], 80)
    assert raised.value.errno == errno.EADDRNOTAVAIL


# No such interface; a broadcast, which TCP has none of.
@pytest.mark.parametrize("host", ["fe80::1%nowhere", "255.255.255.255"])
async def test_an_address_that_cannot_be_is_passed_over(host: str) -> None:
    with (
        listening("127.0.0.1") as (listener,),
        await dial([host, "127.0.0.1"], port_of(listener)) as sock,
    ):
        assert sock.getpeername()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("hosts", "seconds"),
    [
        (["127.0.0.1", "127.0.0.2"], 5),
        (["127.0.0.1", "127.0.0.2", "127.0.0.3"], 10 / 3),
    ],
)
async def test_one_that_swallows_packets_has_its_share_of_the_time(
    autojump_clock: MockClock, hosts: list[str], seconds: float
) -> None:
    with swallowing("127.0.0.1", "127.0.0.2") as port:
        began = trio.current_time()
        with trio.fail_after(10):
            sock = await dial(hosts, port)
        with sock:
            assert sock.getpeername()[0] == "127.0.0.2"
        assert trio.current_time() - began == pytest.approx(seconds)


async def test_the_last_one_has_all_the_time_that_is_left(
    autojump_clock: MockClock,
) -> None:
    with swallowing("127.0.0.1") as port:
        began = trio.current_time()
        with pytest.raises(trio.TooSlowError), trio.fail_after(10):
            await dial(["127.0.0.1"], port)
        assert trio.current_time() - began == 10


async def test_silence_before_a_refusal_leaves_the_refusal(
    autojump_clock: MockClock,
) -> None:
    with (
        swallowing("127.0.0.1") as port,
        trio.fail_after(10),
        pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.2"),
    ):
        await dial(["127.0.0.1", "127.0.0.2"], port)


async def test_a_refusal_before_silence_leaves_the_silence(
    autojump_clock: MockClock,
) -> None:
    with swallowing("127.0.0.2") as port, pytest.raises(trio.TooSlowError):
        with trio.fail_after(10):
            await dial(["127.0.0.1", "127.0.0.2"], port)


async def test_cancelled_it_leaves_nothing_open() -> None:
    with swallowing("127.0.0.1") as port, trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dial, HOSTS, port)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught


async def test_cancelled_beforehand_it_is_cancelled(unused: int) -> None:
    with swallowing("127.0.0.1") as port, trio.CancelScope() as scope:
        scope.cancel()
        await dial(HOSTS, port)
    assert scope.cancelled_caught


async def test_out_of_time_beforehand_it_is_too_slow() -> None:
    with swallowing("127.0.0.1", *HOSTS[1:]) as port:
        with trio.move_on_at(trio.current_time() - 1) as scope:
            await dial(HOSTS, port)
    assert scope.cancelled_caught


async def test_a_connection_to_itself_is_a_refusal(
    unused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unlucky(socket.socket):
        """Is given, of all the free ports, the one that it connects to."""

        def connect_ex(self, address: tuple[str, int]) -> int:  # type: ignore[override]
            if not self.getsockname()[1]:
                self.bind(address)
            return super().connect_ex(address)

    monkeypatch.setattr(socket, "socket", Unlucky)
    with pytest.raises(ConnectionRefusedError):
        await dial(["127.0.0.1"], unused)


class Slow(socket.socket):
    """Is not connected, or refused, by the time that it is asked again."""

    def connect_ex(self, address: tuple[str, int]) -> int:  # type: ignore[override]
        if self.getsockname()[1]:
            return errno.EALREADY
        return super().connect_ex(address)


async def test_one_that_takes_its_time_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening("127.0.0.1") as (listener,):
        monkeypatch.setattr(socket, "socket", Slow)
        with await dial(["127.0.0.1"], port_of(listener)) as sock:
            assert sock.getpeername() == listener.getsockname()


async def test_one_that_takes_its_time_to_refuse_has_refused(
    unused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "socket", Slow)
    with pytest.raises(ConnectionRefusedError):
        await dial(["127.0.0.1"], unused)


async def test_no_descriptors_left_is_an_error_like_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Exhausted(socket.socket):
        def __init__(self, *_: object) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socket", Exhausted)
    with pytest.raises(OSError, match="Too many open files"):
        await dial(HOSTS, 80)
