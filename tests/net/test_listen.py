from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from sidecar.config.model import Endpoint
from sidecar.net.listen import accept, bind, bind_beside, bind_shared, hear
from tests.net.no_ipv6 import forget_ipv6

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock


def never(error: OSError, pause: float) -> None:
    raise AssertionError((error, pause))


def address(listener: socket.socket) -> tuple[str, int]:
    host, port, *_ = listener.getsockname()
    return host, port


def port_of(listener: socket.socket) -> int:
    return address(listener)[1]


# --- bind


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_port_is_bound_and_listens(host: str) -> None:
    with bind(Endpoint(host, 0)) as listener:
        assert address(listener)[0] == host
        assert port_of(listener) > 0
        assert not listener.getblocking()
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_wildcard_of_ipv6_serves_both(host: str) -> None:
    with (
        bind(Endpoint("::", 0)) as listener,
        socket.create_connection((host, port_of(listener))) as client,
    ):
        assert client.getpeername()[0] == host


def without_ipv6(host: str) -> tuple[str, int]:
    """Bind where the kernel has no IPv6; give where, or raise as `bind` did."""

    def bound() -> tuple[str, int]:
        forget_ipv6()
        with bind(Endpoint(host, 0)) as one:
            assert {address(each)[0] for each in shared(Endpoint(host, 0))} == {
                address(one)[0]
            }
            return address(one)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(bound).result()


def shared(where: Endpoint) -> Iterator[socket.socket]:
    for each in bind_shared(where, 2):
        with each:
            yield each


def test_without_ipv6_every_address_is_one_of_ipv4() -> None:
    assert without_ipv6("::")[0] == "0.0.0.0"
    assert without_ipv6("127.0.0.1")[0] == "127.0.0.1"


def test_without_ipv6_one_address_of_it_is_an_error() -> None:
    with pytest.raises(OSError, match="not supported") as error:
        without_ipv6("::1")
    assert error.value.errno == errno.EAFNOSUPPORT


def test_an_address_of_ipv6_serves_itself_alone() -> None:
    with bind(Endpoint("::1", 0)) as listener:
        assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port_of(listener)))


def test_both_families_may_have_one_port_of_their_own() -> None:
    with (
        bind(Endpoint("127.0.0.1", 0)) as one,
        bind(Endpoint("::1", port_of(one))) as other,
    ):
        assert port_of(one) == port_of(other)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_an_error_and_leaves_nothing(host: str) -> None:
    with bind(Endpoint(host, 0)) as listener:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with pytest.raises(OSError, match="in use") as raised:
            bind(Endpoint(host, port_of(listener)))
        assert raised.value.errno == errno.EADDRINUSE
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_an_address_of_somebody_else_is_an_error() -> None:
    with pytest.raises(OSError, match="assign") as raised:
        bind(Endpoint("192.0.2.1", 0))
    assert raised.value.errno == errno.EADDRNOTAVAIL


def test_a_port_is_free_again_at_once() -> None:
    with bind(Endpoint("127.0.0.1", 0)) as listener:
        endpoint = Endpoint(*address(listener))
        with socket.create_connection(address(listener)):
            served, _ = listener.accept()
            served.close()  # first: the port goes to TIME_WAIT
    with bind(endpoint) as again:
        assert port_of(again) == endpoint.port


# --- accept


@pytest.mark.parametrize(
    ("listen", "dial"), [("127.0.0.1", "127.0.0.1"), ("::", "::1")]
)
async def test_a_connection_is_accepted_with_all_options(
    listen: str, dial: str
) -> None:
    with (
        bind(Endpoint(listen, 0)) as listener,
        socket.create_connection((dial, port_of(listener))) as client,
    ):
        sock, sockaddr = await accept(listener, never)
        with sock:
            assert sockaddr[:2] == client.getsockname()[:2]
            assert not sock.getblocking()
            tcp = socket.IPPROTO_TCP
            assert sock.getsockopt(tcp, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(tcp, socket.TCP_KEEPIDLE) == 60
            assert sock.getsockopt(tcp, socket.TCP_KEEPINTVL) == 10
            assert sock.getsockopt(tcp, socket.TCP_KEEPCNT) == 6
            assert not sock.get_inheritable()


async def test_one_that_comes_later_is_waited_for() -> None:
    with bind(Endpoint("127.0.0.1", 0)) as listener:
        accepted: list[socket.socket] = []

        async def take() -> None:
            sock, _ = await accept(listener, never)
            accepted.append(sock)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            await trio.testing.wait_all_tasks_blocked()
            assert not accepted
            client = socket.create_connection(address(listener))
        with client, accepted[0] as sock:
            assert sock.getpeername() == client.getsockname()


async def test_cancelled_it_has_taken_nobody() -> None:
    with bind(Endpoint("127.0.0.1", 0)) as listener:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(accept, listener, never)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        with socket.create_connection(address(listener)) as client:
            sock, _ = await accept(listener, never)
            with sock:
                assert sock.getpeername() == client.getsockname()


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Let the process open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208
    with contextlib.ExitStack() as stack:
        # Fill the gaps below the limit.
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with contextlib.suppress(OSError):
            while True:
                stack.callback(os.close, os.dup(0))
        yield


async def test_out_of_descriptors_it_says_so_and_tries_again(
    autojump_clock: MockClock,
) -> None:
    pauses: list[float] = []

    def exhausted(error: OSError, pause: float) -> None:
        assert error.errno == errno.EMFILE
        pauses.append(pause)
        if len(pauses) == 11:
            recovery.close()

    with (
        contextlib.ExitStack() as recovery,
        bind(Endpoint("127.0.0.1", 0)) as listener,
        socket.create_connection(address(listener)) as client,
    ):
        began = trio.current_time()
        recovery.enter_context(no_descriptors_left())
        sock, _ = await accept(listener, exhausted)
        with sock:  # it waited in the backlog
            assert sock.getpeername() == client.getsockname()
    assert pauses == [
        pytest.approx(each)
        for each in (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1, 1, 1)
    ]
    assert trio.current_time() - began == pytest.approx(sum(pauses))


class Failing(socket.socket):
    """A listener whose kernel hands on errors, one for each call."""

    errors: tuple[int, ...] = ()

    def accept(self) -> tuple[socket.socket, object]:
        if self.errors:
            first, *rest = self.errors
            self.errors = tuple(rest)
            raise OSError(first, os.strerror(first))
        return super().accept()


@contextlib.contextmanager
def failing(*errors: int) -> Iterator[Failing]:
    with bind(Endpoint("127.0.0.1", 0)) as bound:
        listener = Failing(fileno=bound.detach())
        listener.setblocking(False)
        listener.errors = errors
        with listener:
            yield listener


@pytest.mark.parametrize(
    "error",
    [errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EPERM],
    ids=errno.errorcode.get,
)
async def test_errors_of_one_connection_pass_over_it(error: int) -> None:
    with (
        failing(error, error) as listener,
        socket.create_connection(address(listener)) as client,
    ):
        sock, _ = await accept(listener, never)
        with sock:
            assert sock.getpeername() == client.getsockname()


@pytest.mark.parametrize(
    "error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM]
)
async def test_whatever_the_process_is_out_of_is_waited_out(
    error: int, autojump_clock: MockClock
) -> None:
    said: list[float] = []
    with (
        failing(error, error) as listener,
        socket.create_connection(address(listener)),
    ):
        sock, _ = await accept(listener, lambda _, pause: said.append(pause))
        sock.close()
    assert said == [0.005, 0.01]


async def test_errors_without_end_do_not_keep_others_from_running() -> None:
    with failing(*[errno.EPERM] * 10_000) as listener, trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept, listener, never)
            await trio.lowlevel.checkpoint()
            scope.cancel()
    assert scope.cancelled_caught
    assert listener.errors


@pytest.mark.parametrize("error", [errno.EBADF, errno.EINVAL, errno.ENOTSOCK])
async def test_a_broken_listener_is_an_error(error: int) -> None:
    with failing(error) as listener, pytest.raises(OSError, match=os.strerror(error)):
        await accept(listener, never)


async def test_a_socket_that_does_not_listen_is_an_error() -> None:
    with socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(OSError, match="Invalid argument"):
            await accept(sock, never)


# --- bind_shared


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_sockets_that_share_an_address_share_its_callers(host: str) -> None:
    with contextlib.ExitStack() as stack:
        sockets = bind_shared(Endpoint(host, 0), 3)
        for sock in sockets:
            stack.enter_context(sock)
            assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            hear(sock)
        (port,) = {port_of(sock) for sock in sockets}
        for _ in range(60):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        counts = []
        for sock in sockets:
            with contextlib.suppress(BlockingIOError):
                counts.append(0)
                while True:
                    stack.enter_context(sock.accept()[0])
                    counts[-1] += 1
        assert sum(counts) == 60
        assert min(counts) > 0


def test_who_would_share_as_well_does_not_get_an_address_that_is_taken() -> None:
    (first,) = bind_shared(Endpoint("127.0.0.1", 0), 1)
    with first:
        hear(first)
        there = Endpoint("127.0.0.1", port_of(first))
        with pytest.raises(OSError, match="in use"):
            bind_shared(there, 2)
        with bind_beside(there) as beside:
            assert port_of(beside) == there.port


def test_nothing_is_left_open_where_not_all_can_be_bound() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the number alone
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 2, hard))
    try:
        with pytest.raises(OSError) as error:  # noqa: PT011 - by its number
            bind_shared(Endpoint("127.0.0.1", 0), 10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert error.value.errno == errno.EMFILE
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
