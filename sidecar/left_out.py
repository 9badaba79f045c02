"""What our dependencies import and nobody here calls is left out of a sidecar.

Each is memory in every pod, and one more thing to watch for holes:

- `ssl` and `_hashlib`, which trio, prometheus-client and hashlib import: they map the
  system's libssl and libcrypto, 5 MB, where pyOpenSSL has an OpenSSL of its own.
- The web servers and the web client of the standard library, which prometheus-client
  imports to serve and to push its metrics: 1.5 MB. Ours go out through `sidecar.admin`.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEFT_OUT: Final = ("ssl", "http.server", "wsgiref.simple_server", "urllib.request")

# Where hashlib finds SHA-256 without OpenSSL; some distributions leave it out.
_BUILT_IN_SHA256: Final = ("_sha256", "_sha2")


class Absent:
    """Stands for every name of a module that is left out; it cannot be used."""

    def __init__(self, *_args: Any, **_named: Any) -> None:
        raise RuntimeError("its module is left out of this process: sidecar.left_out")


class _Stub(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent


def prepare(words: Sequence[str]) -> None:
    """Leave them out, if the command line *words* is that of the sidecar.

    Before anything that imports them; what has one already keeps it.
    """
    if not words or words[0] != "run":
        return
    for name in _LEFT_OUT:
        sys.modules.setdefault(name, _Stub(name, __doc__))
    if any(find_spec(name) for name in _BUILT_IN_SHA256):
        # None makes an import fail, and hashlib goes on with what is built in.
        sys.modules.setdefault("_hashlib", None)  # type: ignore[arg-type]
