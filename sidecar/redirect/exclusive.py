"""One at a time: who changes the rules of a network, or listens in the sidecar's place.

Two applies at once both find nothing there, and both add the jumps; two checks take one
another for somebody who has the sidecar's port. The lock is a
name among the abstract Unix sockets, which every network namespace has for itself
(unix(7), network_namespaces(7)): no file has to be writable for it, and the kernel lets
it go with whoever held it, however that ended.
"""

from __future__ import annotations

import errno
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sidecar.redirect.backend import RedirectError

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = "\0sidecar.mesh/redirect"
_STEP_SECONDS: Final = 0.05


@contextmanager
def exclusive(seconds: float) -> Iterator[None]:
    """Be the only one for as long as the block lasts.

    Args:
        seconds: How long to wait until others have ended.

    Raises:
        RedirectError: They have not.
    """
    ends = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        while True:
            try:
                lock.bind(NAME)
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise RedirectError(
                        f"cannot lock the rules of this network: {error.strerror}"
                    ) from None
            if time.monotonic() >= ends:
                raise RedirectError(
                    "another `sidecar redirect` is at work in this network, and has"
                    f" not ended in {seconds:g} seconds: wait longer, --lock-seconds"
                    " or --timeout"
                )
            time.sleep(_STEP_SECONDS)
        yield
