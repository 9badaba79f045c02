"""What the tests of the configuration share: files in a directory of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest


class Write(Protocol):
    def __call__(self, text: str | bytes, name: str = "sidecar.yaml") -> Path: ...


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file; its path is relative, so that problems show its name only."""
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes, name: str = "sidecar.yaml") -> Path:
        path = Path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write
