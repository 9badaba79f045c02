"""A proxy on each side, started, and what the two have used."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Final, Self

from bench import usage
from bench.application import SMALL
from bench.processes import Process, end_all
from bench.unmeasured import Unmeasured

if TYPE_CHECKING:
    from types import TracebackType

    from bench.proxies.proxy import Proxy, Site

_START_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.02


class Pair:
    """plaintext -> client's side -> mTLS -> server's side -> plaintext.

    A `with` block starts it, and it serves when the block begins.
    """

    def __init__(self, proxy: Proxy, site: Site) -> None:
        self.proxy = proxy
        self.site = site
        self.processes: list[Process] = []
        self.start_seconds = 0.0
        """How long it took from the start until it served."""

    @property
    def port(self) -> int:
        """Where the load goes."""
        return self.site.entry

    def __enter__(self) -> Self:
        """Start both sides.

        Raises:
            Unmeasured: One does not start, or they do not serve.
        """
        try:
            self.start()
            self._wait_until_serving()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End both sides."""
        self.stop()

    def start(self) -> None:
        """Start both sides, without waiting.

        Raises:
            Unmeasured: One does not start.
        """
        commands = {
            "server": self.proxy.server(self.site),
            "client": self.proxy.client(self.site),
        }
        time.sleep(self.proxy.settle_seconds)
        for side, command in commands.items():
            name = f"{self.proxy.name}-{side}"
            self.processes.append(Process(command, self.site.folder, name))

    def stop(self) -> None:
        """End both sides, if they run."""
        end_all(self.processes)
        self.processes.clear()

    def cpu_seconds(self) -> float:
        """Return the CPU time of both sides so far.

        Raises:
            Unmeasured: One of them has ended.
        """
        self.check_running()
        return usage.cpu_seconds([process.pid for process in self.processes])

    def rss_bytes(self) -> list[int]:
        """Return the resident memory of each side.

        Raises:
            Unmeasured: One of them has ended.
        """
        self.check_running()
        try:
            return [usage.rss_bytes(process.pid) for process in self.processes]
        except OSError as error:
            raise Unmeasured(f"a process of the pair has ended: {error}") from error

    def check_running(self) -> None:
        """Do nothing while both sides run.

        Raises:
            Unmeasured: One has ended; with the last that it said.
        """
        for process in self.processes:
            process.check_running()

    def _wait_until_serving(self) -> None:
        began = time.monotonic()
        end = began + _START_SECONDS
        while (failure := attempt(self.port)) is not None:
            self.check_running()
            if time.monotonic() > end:
                raise Unmeasured(
                    f"does not serve within {_START_SECONDS:g} s: {failure}"
                )
            time.sleep(_PAUSE_SECONDS)
        self.start_seconds = time.monotonic() - began


def attempt(port: int) -> str | None:
    """Ask once; return None when answered, else why not."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_SECONDS)
    try:
        link.request("GET", SMALL)
        status = link.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        link.close()
    return None if status == http.HTTPStatus.OK else f"status {status}"
