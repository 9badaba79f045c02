"""An admin listener in the file system, for nobody but its owner."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BACKLOG = 64


@contextlib.contextmanager
def bound(path: Path) -> Iterator[socket.socket]:
    """Listen at *path*, mode 0600, until the end of the block.

    A socket that a dead process left there is removed; one that answers is not, and
    neither is anything that is not a socket.

    Raises:
        OSError: The path is taken, or nothing can be made there.
    """
    _remove_stale(path)
    with socket.socket(socket.AF_UNIX) as sock:
        # Linux takes the mode of the file from the descriptor, less the umask: at no
        # moment can anybody else connect.
        os.fchmod(sock.fileno(), 0o600)
        sock.bind(str(path))
        made = path.lstat()
        try:
            sock.listen(_BACKLOG)
            yield sock
        finally:
            _remove_ours(path, made)


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "not a socket, remove it first", str(path))
    with socket.socket(socket.AF_UNIX) as probe:
        # Never wait: whoever has a full backlog is alive.
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "another process answers there", str(path))


def _remove_ours(path: Path, made: os.stat_result) -> None:
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(path.lstat(), made):
            path.unlink()
