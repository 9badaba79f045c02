"""Writing keys and certificates so that nobody else ever reads a key.

A file appears whole or not at all, and an old one is never replaced unasked.
"""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644
_FOLDER: Final = 0o700


class FileExists(Exception):
    """A file is there already; the message names it and the remedy."""


@frozen
class NewFile:
    """A file that is to be written.

    Attributes:
        path: Where.
        content: What; never printed.
        secret: Whether only its owner may read it.
    """

    path: Path
    content: bytes = field(repr=False)
    secret: bool


def make_folder(path: Path) -> None:
    """Make a folder that only its owner can enter; leave one that exists as it is.

    Raises:
        OSError: It cannot be made.
    """
    path.mkdir(_FOLDER, parents=True, exist_ok=True)


def write_files(files: Sequence[NewFile], *, replace: bool) -> None:
    """Write all of *files*, or, if one exists and *replace* is false, none.

    Raises:
        FileExists: One is there already.
        OSError: One cannot be written.
    """
    if not replace:
        for file in files:
            # A dangling link is there too: nothing to write through unasked.
            if file.path.exists() or file.path.is_symlink():
                raise _exists(file.path)
    with ExitStack() as drafts:
        ready = [(_draft(file, drafts), file.path) for file in files]
        for draft, path in ready:
            if replace:
                draft.replace(path)
            else:
                _publish(draft, path)


def _draft(file: NewFile, drafts: ExitStack) -> Path:
    """Write the content beside its place; whatever happens, no draft stays."""
    draft = file.path.with_name(f".{file.path.name}.{secrets.token_hex(8)}")
    mode = _PRIVATE if file.secret else _PUBLIC
    # The mode is there before the first byte, and O_EXCL follows no link.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    drafts.callback(draft.unlink, missing_ok=True)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(file.content)
        opened.flush()
        os.fsync(descriptor)
    return draft


def _publish(draft: Path, path: Path) -> None:
    """Give the draft its name, unless somebody took it in the meantime."""
    try:
        # Unlike a rename, a link fails where there is something.
        path.hardlink_to(draft)
    except FileExistsError as error:
        raise _exists(path) from error


def _exists(path: Path) -> FileExists:
    return FileExists(f"{path}: must not exist yet; --force replaces it")
