"""One socket of a flow, and what it has not taken yet."""

from __future__ import annotations

import fcntl
import struct
import termios
from select import EPOLLIN
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket

    from sidecar.tls.openssl_binding import Buffer

_INT: Final = struct.Struct("i")


class Broken(Exception):
    """A socket broke; *end* is the one."""

    def __init__(self, end: End, error: OSError) -> None:
        super().__init__(str(error))
        self.end = end


class End:
    """A non-blocking socket; its methods raise `Broken` and no other exception."""

    __slots__ = ("ended", "fd", "mask", "moved", "pending", "shut", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.mask = EPOLLIN
        """What epoll is asked about it."""
        self.moved = 0
        """How many bytes came from it, as the application counts them."""
        self.pending: memoryview | None = None
        """What it has not taken yet: it is watched for writing."""
        self.ended = False
        """It has sent its last byte: nothing is read from it any more."""
        self.shut = False
        """It has been sent our last byte."""

    def receive(self, buffer: Buffer, limit: int) -> int:
        """Fill *buffer*; give the count, 0 for the end, -1 for nothing as yet."""
        try:
            return self.sock.recv_into(buffer.view, limit)
        except BlockingIOError:
            return -1
        except OSError as error:
            raise Broken(self, error) from None

    def send(self, data: memoryview) -> bool:
        """Send what it takes and keep a copy of the rest; True if nothing is left."""
        try:
            taken = self.sock.send(data)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            raise Broken(self, error) from None
        if taken == len(data):
            return True
        self.pending = memoryview(bytes(data[taken:]))
        return False

    def flush(self) -> bool:
        """Send more of what is pending; True if nothing is left."""
        pending = self.pending
        if pending is None:
            return True
        try:
            taken = self.sock.send(pending)
        except BlockingIOError:
            return False
        except OSError as error:
            raise Broken(self, error) from None
        self.pending = pending[taken:] if taken < len(pending) else None
        return self.pending is None

    def undelivered(self) -> int:
        """Say how much of what was sent the other kernel has not got (tcp(7)).

        A reset would discard that; what the other kernel has can still be read there.
        """
        # SIOCOUTQ has the number of a terminal's TIOCOUTQ.
        count = fcntl.ioctl(self.fd, termios.TIOCOUTQ, _INT.pack(0))
        return int(_INT.unpack(count)[0])

    def shutdown(self) -> None:
        """Send a FIN, once."""
        if not self.shut:
            self.shut = True
            try:
                self.sock.shutdown(1)  # SHUT_WR
            except OSError as error:
                raise Broken(self, error) from None
