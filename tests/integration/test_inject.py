"""Ensures that kubectl takes what injection makes, and gives back what can be undone."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sidecar.injector.model import Patched
from sidecar.injector.operations import applied
from sidecar.injector.patch import inject
from tests.injector.pods import CASES, CONTEXT
from tests.support.processes import ROOT
from tests.support.programs import require

if TYPE_CHECKING:
    from pathlib import Path

MANIFESTS = ROOT / "tests" / "injector" / "manifests"
# Those without a custom resource, which a kubectl without a cluster does not know.
FILES = ("shop.yaml", "database.yaml", "nightly.yaml", "list.json", "aliases.yaml")


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "injection.yaml"
    path.write_text('image: example/sidecar:1\nkubernetes_version: "1.34"\n')
    return path


def kubectl(folder: Path, *words: str, given: str | None = None) -> str:
    """Run kubectl where there is no cluster."""
    environ = {"KUBECONFIG": "/dev/null", "HOME": str(folder)}
    return _run([str(require("kubectl")), *words], given, environ)


def sidecar(*words: str, given: str) -> str:
    return _run([sys.executable, "-m", "sidecar", *words], given, None)


def _run(command: list[str], given: str | None, environ: dict[str, str] | None) -> str:
    done = subprocess.run(
        command,
        input=given,
        env=environ,
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rewritten(folder: Path, text: str) -> str:
    """Let kubectl read objects and write them in its own way, as `get -o yaml` does."""
    words = ("label", "--local", "-f", "-", "-o", "yaml", "seen=true")
    return kubectl(folder, *words, given=text)


@pytest.mark.parametrize("name", ["probes", "probes-native", "annotated-full"])
def test_kubectl_applies_the_patch_and_knows_every_field(
    name: str, tmp_path: Path
) -> None:
    raw, mesh = CASES[name]
    pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", **raw}
    result = inject(pod, CONTEXT, mesh)
    assert isinstance(result, Patched)
    (tmp_path / "pod.json").write_text(json.dumps(pod))
    (tmp_path / "patch.json").write_text(json.dumps(result.operations))
    words = ("patch", "--local", "-f", str(tmp_path / "pod.json"), "--type", "json")
    patch = ("--patch-file", str(tmp_path / "patch.json"), "-o", "json")
    found = json.loads(kubectl(tmp_path, *words, *patch))
    assert found["spec"] == applied(pod, result.operations)["spec"]


@pytest.mark.parametrize("name", FILES)
def test_what_kubectl_has_written_anew_is_taken_out_again(
    name: str, settings: Path, tmp_path: Path
) -> None:
    text = (MANIFESTS / name).read_text()
    injected = sidecar("inject", "--settings", str(settings), given=text)
    assert "sidecar-init" in injected
    back = sidecar("uninject", given=rewritten(tmp_path, injected))
    assert [*yaml.safe_load_all(rewritten(tmp_path, back))] == [
        *yaml.safe_load_all(rewritten(tmp_path, text))
    ]
