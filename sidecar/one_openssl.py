"""One OpenSSL in the process, where the standard library would bring a second.

pyOpenSSL comes with an OpenSSL of its own. trio, prometheus-client and hashlib import
the standard library's `ssl` and `_hashlib` besides, which map the system's libssl and
libcrypto: 5 MB of every pod, and one more library to watch for holes, for calls that
nobody here makes.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where hashlib finds SHA-256 without OpenSSL; some distributions leave it out.
_BUILT_IN_SHA256: Final = ("_sha256", "_sha2")


class Absent:
    """Stands for every name of a module that is left out; it cannot be used."""

    def __init__(self, *_args: Any, **_named: Any) -> None:
        raise RuntimeError("the standard library's ssl is left out of this process")


class _LeftOut(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent


def prepare(words: Sequence[str]) -> None:
    """Leave out the other one, if the command line *words* is that of the sidecar.

    Before anything that imports it; what has it already keeps it.
    """
    if not words or words[0] != "run" or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = _LeftOut("ssl", __doc__)
    if any(find_spec(name) for name in _BUILT_IN_SHA256):
        # None makes an import fail, and hashlib goes on with what is built in.
        sys.modules.setdefault("_hashlib", None)  # type: ignore[arg-type]
