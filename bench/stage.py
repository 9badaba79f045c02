"""Everything around the pairs: a folder, certificates, the application."""

from __future__ import annotations

import resource
import tempfile
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from bench import certificates
from bench.application import start_application, start_sink
from bench.ports import free_port
from bench.processes import Process, end_all
from bench.proxies.proxy import Setting, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.certificates import Certificates

# For each connection a proxy has two descriptors, and some for itself.
_DESCRIPTORS_EACH: Final = 2
_DESCRIPTORS_BESIDE: Final = 256

_USUAL: Final = Setting()


@frozen
class Stage:
    """Where pairs can be set up."""

    folder: Path
    certificates: Certificates
    strangers: Certificates
    """The same names, by an authority that nobody here trusts."""
    application: int
    """The port of a server with answers of all sizes."""
    sink: int
    """The port of a server that takes uploads."""

    def site(
        self, name: str, setting: Setting = _USUAL, application: int | None = None
    ) -> Site:
        """Make a place for one pair, with a folder and ports of its own.

        Args:
            name: For the folder.
            setting: What is asked of the pair.
            application: The port that its server's side calls, if not the usual.
        """
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        crossing = free_port()
        return Site(
            folder,
            self.certificates,
            setting,
            entry=free_port(),
            crossing=crossing,
            dialled=crossing,
            application=application or self.application,
        )


@contextmanager
def stage() -> Iterator[Stage]:
    """Set up everything, and leave nothing behind.

    Raises:
        Unmeasured: The application cannot be started.
    """
    raise_descriptor_limit()
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="sidecar-bench-")
        folder = Path(stack.enter_context(temporary))
        # nginx's workers are another user's when root starts it.
        folder.chmod(0o755)
        processes: list[Process] = []
        stack.callback(lambda: end_all(processes))
        application, port = start_application(folder)
        processes.append(application)
        sink, sink_port = start_sink(folder)
        processes.append(sink)
        now = datetime.now(UTC)
        made, strangers = (
            certificates.make(folder / name, now) for name in ("own", "strangers")
        )
        yield Stage(folder, made, strangers, port, sink_port)


def raise_descriptor_limit() -> None:
    """Let this process, and those that it starts, open as many files as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_connections() -> int:
    """Return how many connections a proxy can carry with the descriptors it may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (hard - _DESCRIPTORS_BESIDE) // _DESCRIPTORS_EACH
