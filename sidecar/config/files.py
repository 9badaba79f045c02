"""Reading a file that somebody else named: bounded, and never waiting."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_MIB: Final = 1024 * 1024
_ERRORS: Final = {
    errno.ENOENT: "no such file",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTDIR: "a part of the path is not a directory",
    errno.ELOOP: "too many symbolic links",
    errno.ENAMETOOLONG: "the path is too long",
}


class UnreadableError(ValueError):
    """A file cannot be read; the message says why, without the file's name."""


def read_bounded(path: Path, most: int) -> bytes:
    """Read a regular file of at most *most* bytes, which is a number of MiB.

    Raises:
        UnreadableError: It is missing, forbidden, too large or not a regular file.
            No other exception escapes, whatever the path.
    """
    try:
        # Not blocking: opening a FIFO would wait for its other end.
        with open(path, "rb", opener=_open) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableError("not a regular file")
            data = file.read(most + 1)
    except IsADirectoryError:
        raise UnreadableError("a directory, expected a file") from None
    except OSError as error:
        reason = _ERRORS.get(error.errno or 0, str(error.strerror).lower())
        raise UnreadableError(reason) from None
    except ValueError as error:
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError("the path has a character that no file has") from None
    if len(data) > most:
        raise UnreadableError(f"larger than {most // _MIB} MiB")
    return data


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
