"""Somebody else's file descriptor, written without ever waiting for its reader.

Standard output is shared with other processes, so it must not be made non-blocking:
`O_NONBLOCK` belongs to the open file description, and the others would trip over it.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat

import trio

# A disk that is full is looked at again after so many seconds.
_FULL_DISK_SECONDS = 1.0


class Output:
    """Writes to *fd* what can be written at once. The caller goes on owning *fd*.

    Raises:
        OSError: *fd* is not open.
    """

    def __init__(self, fd: int) -> None:
        mode = os.fstat(fd).st_mode
        self._fd = fd
        self._close: list[int] = []
        self._socket: socket.socket | None = None
        self._poll: select.poll | None = None
        # epoll refuses regular files and /dev/null, which never keep anyone waiting.
        self._can_wait = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(fd))
        elif self._can_wait:
            self._reopen()

    def _reopen(self) -> None:
        """Get a file description of our own for the same pipe or terminal."""
        try:
            self._fd = os.open(
                f"/proc/self/fd/{self._fd}",
                os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC,
            )
            self._close.append(self._fd)
        except OSError:
            # Not ours to open. Then ask before each write: a pipe that polls writable
            # takes PIPE_BUF bytes without blocking, unless another process is faster.
            self._poll = select.poll()
            self._poll.register(self._fd, select.POLLOUT)

    def try_write(self, data: bytes) -> int:
        """Write at most `PIPE_BUF` bytes and say how many were taken, 0 for "not now".

        A pipe takes all or nothing.

        Raises:
            OSError: The reader is gone, or the file cannot be written.
        """
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT)
            if self._poll is not None and not self._poll.poll(0):
                return 0
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                return 0
            raise

    async def wait(self) -> None:
        """Wait until writing is worth another try."""
        if self._socket is not None:
            await trio.lowlevel.wait_writable(self._socket)
        elif self._can_wait:
            await trio.lowlevel.wait_writable(self._fd)
        else:
            await trio.sleep(_FULL_DISK_SECONDS)

    def close(self) -> None:
        """Give back what was opened here."""
        if self._socket is not None:
            self._socket.close()
        for fd in self._close:
            os.close(fd)
