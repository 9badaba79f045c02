"""Function calls of a pair, from the interpreter's own hook for profilers."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from bench.guard.exercise import Batch
from bench.proxies.sidecar import Sidecar
from bench.unmeasured import Unmeasured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.pair import Pair
    from bench.processes import Process
    from bench.proxies.proxy import Command, Site

_MODULE: Final = "sidecar"
_ANSWER_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.005


class Profiled(Sidecar):
    """A sidecar that counts its function calls. It is as slow as that."""

    def client(self, site: Site) -> Command:
        return _counted(super().client(site), _file(site, "client"))

    def server(self, site: Site) -> Command:
        return _counted(super().server(site), _file(site, "server"))


def _file(site: Site, side: str) -> Path:
    return site.folder / f"{side}-calls.json"


def _counted(command: Command, file: Path) -> Command:
    """Replace the sidecar in `python -m sidecar` by what counts its calls."""
    at = command.index(_MODULE)
    return [*command[:at], "bench.guard.counted", file, *command[at + 1 :]]


class Functions:
    """Counts the function calls of batches, from one snapshot to the next."""

    def __init__(self, pair: Pair) -> None:
        self.batches: list[Batch] = []
        self._pair = pair
        self._snapshots = 0

    @contextmanager
    def batch(self, item: str, items: int) -> Iterator[None]:
        """Count what is called in the block.

        Raises:
            Unmeasured: A side does not answer.
        """
        before = self._snapshot()
        yield
        self.batches.append(Batch(item, items, self._snapshot() - before))

    def _snapshot(self) -> Counter[str]:
        self._snapshots += 1
        total: Counter[str] = Counter()
        for side, process in zip(
            ("server", "client"), self._pair.processes, strict=True
        ):
            process.signal(signal.SIGUSR1)
            total += self._answer(process, _file(self._pair.site, side))
        return total

    def _answer(self, process: Process, file: Path) -> Counter[str]:
        end = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < end:
            process.check_running()
            if file.exists():
                said = json.loads(file.read_text())
                if said["number"] == self._snapshots:
                    return Counter(said["calls"])
            time.sleep(_PAUSE_SECONDS)
        raise Unmeasured(f"{process.name} did not write its counts")
