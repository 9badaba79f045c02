"""An HTTP server that reads what is uploaded and forgets it: `python -m bench.sink PORT`.

Run in a process of its own, so that it never holds up whoever measures.
"""

from __future__ import annotations

import socketserver
import sys
from typing import Final

_BUFFER_BYTES: Final = 1 << 20
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class _Upload(socketserver.StreamRequestHandler):
    rbufsize = _BUFFER_BYTES

    def handle(self) -> None:
        """Serve requests until the client ends."""
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        while (length := self._length_of_body()) is not None:
            while length:
                size = self.rfile.readinto1(buffer[:length])
                if not size:
                    return
                length -= size
            self.wfile.write(_ANSWER)

    def _length_of_body(self) -> int | None:
        length = 0
        while line := self.rfile.readline():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            if line == b"\r\n":
                return length
        return None


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, *_about: object) -> None:
        """A client that leaves in the middle is none of our business."""


def main() -> None:
    """Serve until ended."""
    with _Server(("127.0.0.1", int(sys.argv[1])), _Upload) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
