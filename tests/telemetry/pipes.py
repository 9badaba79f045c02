"""A pipe whose reader is slow, or stalled, or gone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pipe:
    """A real pipe of one page. Its write end blocks, as standard output does."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(self.read_end, False)

    def read(self) -> bytes:
        """All that is in the pipe now."""
        pieces = []
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self.read_end, 65536):
                pieces.append(piece)
        return b"".join(pieces)

    def close_reader(self) -> None:
        os.close(self.read_end)
        self.read_end = -1

    def close(self) -> None:
        for fd in (self.read_end, self.write_end):
            if fd >= 0:
                os.close(fd)


@contextlib.contextmanager
def no_new_descriptors() -> Iterator[None]:
    """Nothing can be opened: as when a pipe belongs to another user."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
