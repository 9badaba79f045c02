"""Pods as Kubernetes makes them: network namespaces on a bridge. Needs root."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pytest
from attrs import define, field, frozen

from tests.netns.captures import Capture
from tests.support.processes import ROOT
from tests.support.programs import require
from tests.support.sidecars import Sidecar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sidecar.redirect.model import Backend

T = TypeVar("T")

PROXY = "1337"
SECONDS = 10
NETWORKS = ("10.77.0", "fd77:")
"""Of the pods: the hub is .1 or ::1, the pods follow."""

_CLONE_NEWNET = 0x40000000
_numbers = count()
_sources = count(20000)


def run(*words: str | Path, fails: bool = False, **options: Any) -> str:
    """Run a program; give what it printed, whether to output or errors."""
    ended: subprocess.CompletedProcess[str] = subprocess.run(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
        **options,
    )
    assert (ended.returncode != 0) is fails, f"{words}: {ended.stdout}"
    return ended.stdout


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.fail(
            "network namespaces need root: run `sudo scripts/test tests/netns`,"
            " or leave them out with --ignore=tests/netns",
            pytrace=False,
        )


@frozen
class Namespace:
    """A network namespace, which a test enters with `within`."""

    name: str

    @classmethod
    @contextmanager
    def new(cls) -> Iterator[Self]:
        need_root()
        name = f"sidecar-{os.getpid()}-{next(_numbers)}"
        run(require("ip"), "netns", "add", name)
        try:
            run(require("ip"), "-n", name, "link", "set", "lo", "up")
            yield cls(name)
        finally:
            run(require("ip"), "netns", "del", name)

    def ip(self, *words: str) -> None:
        run(require("ip"), "-n", self.name, *words)

    def command(self, *words: str | Path) -> tuple[str | Path, ...]:
        return (require("ip"), "netns", "exec", self.name, *words)

    def run(self, *words: str | Path, fails: bool = False, **options: Any) -> str:
        return run(*self.command(*words), fails=fails, **options)

    def redirect(self, *words: str, fails: bool = False, **options: Any) -> str:
        """Run `sidecar redirect` in there."""
        command = (sys.executable, "-m", "sidecar", "redirect", *words)
        return self.run(*command, fails=fails, **options)

    def rules(self, backend: Backend | str) -> str:
        """What iptables-save says of both families; without times and counters."""
        saved = [
            self.run(require(f"{program}-{backend}-save"))
            for program in ("iptables", "ip6tables")
        ]
        lines = "".join(saved).splitlines()
        return "\n".join(
            line.partition(" [")[0] if line[:1] == ":" else line
            for line in lines
            if line[:1] != "#"
        )

    def within(self, act: Callable[[], T]) -> T:
        """Call *act* there. A socket stays where it was made, whoever uses it."""

        def enter() -> T:
            libc = ctypes.CDLL(None, use_errno=True)
            handle = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
            try:
                if libc.setns(handle, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(handle)
            return act()

        # A thread of its own: it never gets back to where it was.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(enter).result()


@frozen
class Pod(Namespace):
    """A namespace with an address of each family, and one for its link alone."""

    addresses: tuple[str, str] = ("", "")
    link_local: str = ""

    def connect(self, host: str, port: int) -> socket.socket:
        """Connect from there, as an application (of this process' user) does.

        Its port is one that no other caller has, and the access log tells them apart.
        """
        source = ("", new_source())
        return self.within(
            lambda: socket.create_connection((host, port), SECONDS, source)
        )

    def ask(self, host: str, port: int, path: str = "/") -> str:
        """Ask over HTTP in plain; give the answer's body, or "" if there was none."""
        with self.connect(host, port) as sock, suppress(ConnectionError):
            return ask(sock, path)
        return ""

    def serve(self, stack: ExitStack, port: int) -> Application:
        return stack.enter_context(Application(self, port))


def new_source() -> int:
    """Give a port that no caller has had; below those that the kernel gives out."""
    port = next(_sources)
    assert port < 32768, "the tests have used all ports: let callers share some"
    return port


def ask(sock: socket.socket, path: str = "/") -> str:
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = b""
    while data := sock.recv(65536):
        answer += data
    return answer.partition(b"\r\n\r\n")[2].decode()


@define
class Application:
    """Answers in HTTP at which address it was reached, for TCP; echoes UDP."""

    pod: Pod
    port: int
    reached: list[str] = field(factory=list)
    _socks: list[socket.socket] = field(factory=list)
    _threads: list[threading.Thread] = field(factory=list)

    def __enter__(self) -> Self:
        address = ("::", self.port)
        listener = self.pod.within(
            lambda: socket.create_server(
                address, family=socket.AF_INET6, dualstack_ipv6=True
            )
        )
        datagrams = self.pod.within(
            lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        )
        datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        datagrams.bind(address)
        self._socks += [listener, datagrams]
        for act, sock in ((self._accept, listener), (self._echo, datagrams)):
            self._threads.append(threading.Thread(target=act, args=(sock,)))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in self._socks:
            sock.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with sock, suppress(OSError):
                    sock.settimeout(SECONDS)
                    self._answer(sock)

    def _answer(self, sock: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            if not b"GET ".startswith(data[:4]):
                sock.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                return
            more = sock.recv(65536)
            if not more:
                return
            data += more
        self.reached.append(data.decode().split()[1])
        host, port = sock.getsockname()[:2]
        at = f"{host.removeprefix('::ffff:')} {port}"
        sock.sendall(f"HTTP/1.0 200 OK\r\n\r\n{at}".encode())

    def _echo(self, sock: socket.socket) -> None:
        with suppress(OSError):
            while True:
                data, sender = sock.recvfrom(65536)
                if not data:
                    return
                sock.sendto(data, sender)


@define
class Hub:
    """A bridge that pods hang on, with a namespace of its own: the node."""

    space: Namespace
    stack: ExitStack
    _pods: int = 1

    @classmethod
    def new(cls, stack: ExitStack) -> Hub:
        space = stack.enter_context(Namespace.new())
        space.ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        space.ip("address", "add", "10.77.0.1/24", "dev", "br0")
        space.ip("address", "add", "fd77::1/64", "dev", "br0", "nodad")
        space.ip("link", "set", "br0", "up")
        return cls(space, stack)

    def pod(self, name: str) -> Pod:
        """Add a pod whose traffic shows on the interface *name* of the hub."""
        space = self.stack.enter_context(Namespace.new())
        self._pods += 1
        ipv4, ipv6 = f"10.77.0.{self._pods}", f"fd77::{self._pods}"
        link = f"fe80::77:{self._pods}"
        veth = ["type", "veth", "peer", "name", "eth0", "netns", space.name]
        self.space.ip("link", "add", name, *veth)
        self.space.ip("link", "set", name, "master", "br0", "up")
        # As CNIs do: a pod that calls its own service gets its own packet back.
        self.space.ip("link", "set", name, "type", "bridge_slave", "hairpin", "on")
        space.ip("address", "add", f"{ipv4}/24", "dev", "eth0")
        for address in (ipv6, link):
            space.ip("address", "add", f"{address}/64", "dev", "eth0", "nodad")
        space.ip("link", "set", "eth0", "up")
        space.ip("route", "add", "default", "via", "10.77.0.1")
        space.ip("-6", "route", "add", "default", "via", "fd77::1")
        return Pod(space.name, (ipv4, ipv6), link)

    @contextmanager
    def guest(self) -> Iterator[Pod]:
        """Have one more pod for as long as the block lasts."""
        with ExitStack() as stack:
            # A name of its own: the kernel takes its time to forget the last one.
            made = Hub(self.space, stack, self._pods)
            self._pods += 1
            yield made.pod(f"guest{self._pods}")

    @contextmanager
    def capture(self, name: str) -> Iterator[Capture]:
        """See every frame that a pod sends and gets."""
        with (
            TemporaryDirectory() as folder,
            Capture(self.space, name, Path(folder)) as capture,
        ):
            yield capture


class PodSidecar(Sidecar):
    """A sidecar in a pod, with the user and group that the rules let by."""

    def __init__(
        self,
        pod: Pod,
        folder: Path,
        configuration: Mapping[str, Any],
        policy: Mapping[str, Any],
        name: str,
    ) -> None:
        self.pod = pod
        user = ("--reuid", PROXY, "--regid", PROXY, "--clear-groups")
        # It may read what belongs to root, as a checkout often does; nothing more.
        reads = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
        # As many descriptors as one gets unasked (systemd.exec(5), LimitNOFILE).
        few = (require("prlimit"), "--nofile=1024:")
        setpriv = (require("setpriv"), *user)
        words = pod.command(*few, *setpriv, *reads, *self.program)
        self.program = tuple(map(str, words))
        super().__init__(folder, configuration, policy, name)

    def _request(self, method: str, path: str, listener: str) -> tuple[int, str]:
        return self.pod.within(
            lambda: super(PodSidecar, self)._request(method, path, listener)
        )

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Be without it for a while."""
        self.signal(signal.SIGKILL)
        self.wait()
        try:
            yield
        finally:
            self.start_again()

    def connections(self, direction: str | None = None) -> float:
        """How many connections it has ever accepted."""
        labels = {} if direction is None else {"direction": direction}
        metrics = self.metrics()
        return metrics.sum("sidecar_connections_total", **labels) + metrics.sum(
            "sidecar_connections_open", **labels
        )
