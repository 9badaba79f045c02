"""Who else can read the file of a private key."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from sidecar.config.files import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_GROUP: Final = 0o060
_OTHERS: Final = 0o006

ALLOW: Final = "set identity.allow_readable_key: true"
"""How `sidecar.yaml` lets such a key be; the default of what follows."""


def check_key_file(path: Path, allow: str = ALLOW) -> None:
    """Refuse a key that other users can read. A file that is not there is let be.

    Args:
        path: Of the key.
        allow: What lets it be nonetheless, as the message says it.

    Raises:
        UnreadableError: They can; the message names the mode and the remedy.
    """
    try:
        # Of what the links lead to: those of a Kubernetes volume are open to all.
        found = path.stat()
        mode = 0 if is_of_a_volume(path) else found.st_mode
    except (OSError, ValueError):
        return  # whoever reads it says why it cannot
    check_mode(mode, found.st_gid, {os.getegid(), *os.getgroups()}, allow)


def check_mode(
    mode: int, group: int, own_groups: Collection[int], allow: str = ALLOW
) -> None:
    """Refuse a key of that mode and group for a process of *own_groups*.

    A group of our own may read it: with `fsGroup`, the kubelet lets nobody else.

    Raises:
        UnreadableError: Others can read it.
    """
    if mode & _OTHERS:
        who = "everybody"
    elif mode & _GROUP and group not in own_groups:
        who = f"the group {group}, which is none of ours,"
    else:
        return
    shown = f"{stat.S_IMODE(mode):04o}"
    raise UnreadableError(
        f"a private key must be for its owner alone, and {who} has access, "
        f"got mode {shown} (chmod 600, or {allow})"
    )


def is_of_a_volume(path: Path) -> bool:
    """Tell whether the kubelet, or a CSI driver, has put it into our container.

    A Secret's mode is 0644 unless somebody says otherwise, and has to be, without
    `fsGroup`, for a process that is not root. The volume is mounted read-only into
    this container, so chmod is no remedy; the others in it are nobody's users.

    Raises:
        OSError: The file is not there.
    """
    # k8s.io/kubernetes/pkg/volume/util/atomic_writer.go: ..data leads to ..2026_...
    inner = path.resolve(strict=True).parent.name
    return inner.startswith("..") and bool(os.statvfs(path).f_flag & os.ST_RDONLY)
