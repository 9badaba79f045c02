from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar import __version__
from sidecar.__main__ import main

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


def test_the_environment_comes_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text("outbound: {listeners: [{listen: '[::1]:9', destination: 'a:1'}]}")
    monkeypatch.setattr(sys, "argv", ["sidecar", "check", str(path)])
    monkeypatch.delenv("SPIFFE_ENDPOINT_SOCKET", raising=False)
    assert main() == 2
    assert "SPIFFE_ENDPOINT_SOCKET" in capsys.readouterr().err
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", "unix:///run/agent.sock")
    assert main() == 0
    assert "the SVID of unix:///run/agent.sock" in capsys.readouterr().out
