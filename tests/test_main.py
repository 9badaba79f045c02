from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar import __version__

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[1]


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "sidecar"]
    ended = subprocess.run(
        [*command, "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == f"{__version__}\n"
    ended = subprocess.run(
        [*command, "nonsense"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2


def test_importing_it_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module("sidecar.__main__")
    assert callable(module.main)
    assert capsys.readouterr() == ("", "")
