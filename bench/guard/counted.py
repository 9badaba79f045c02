"""`sidecar`, with its function calls counted: `python -m bench.guard.counted FILE ...`.

On SIGUSR1 it writes to FILE, as JSON, how often each function has been called so far.
All else is what `sidecar` does with the same arguments.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.cli import main as sidecar

if TYPE_CHECKING:
    from types import CodeType, FrameType

_called: Counter[CodeType] = Counter()
_modules: dict[CodeType, str] = {}


def _count(frame: FrameType, event: str, _argument: Any) -> None:
    if event == "call":
        code = frame.f_code
        if code not in _modules:
            _modules[code] = frame.f_globals.get("__name__", "")
        _called[code] += 1


def _write(file: Path, number: int) -> None:
    named: Counter[str] = Counter()
    for code, count in _called.items():
        named[f"{_modules[code]}.{code.co_qualname}"] += count
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({"number": number, "calls": named}))
    fresh.replace(file)


def main() -> int:
    """Run `sidecar` and count."""
    file, *arguments = sys.argv[1:]
    writes = 0

    def write(_number: int, _frame: FrameType | None) -> None:
        nonlocal writes
        sys.setprofile(None)
        writes += 1
        _write(Path(file), writes)
        sys.setprofile(_count)

    signal.signal(signal.SIGUSR1, write)
    sys.setprofile(_count)
    return sidecar(arguments)


if __name__ == "__main__":
    sys.exit(main())
