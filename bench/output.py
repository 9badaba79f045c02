"""Where results go: JSON and plots, in files that git ignores unless told otherwise."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS: Final = Path(__file__).with_name("results")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write *value* to a file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    _say(f"wrote {path}")


def write_plot(path: Path, draw: Callable[[Path], None]) -> None:
    """Let *draw* write a file, making its folder; say so if nothing can draw."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        draw(path)
    except ImportError:
        _say(f"did not write {path}: matplotlib is not installed; scripts/bench does")
    else:
        _say(f"wrote {path}")


def _say(what: str) -> None:
    print(what, file=sys.stderr)
