"""Being nobody for a while, also where the tests run as root."""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3, linux/capability.h


@contextmanager
def no_capabilities() -> Iterator[None]:
    """Have none in effect while the block lasts; they are those of this thread."""
    # Two times effective, permitted, inheritable: 32 capabilities each.
    sets = (ctypes.c_uint32 * 6)()
    _call("capget", sets)
    before = sets[0], sets[3]
    sets[0] = sets[3] = 0
    _call("capset", sets)
    try:
        yield
    finally:
        sets[0], sets[3] = before
        _call("capset", sets)


def _call(name: str, sets: ctypes.Array[ctypes.c_uint32]) -> None:
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc[name](header, sets):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
