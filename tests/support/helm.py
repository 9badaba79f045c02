"""Helm as its users run it, on the chart of this checkout; it talks to no cluster."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.processes import ROOT
from tests.support.programs import require

if TYPE_CHECKING:
    from pathlib import Path

CHART = ROOT / "deploy" / "k8s" / "chart"
NAMESPACE = "sidecar-system"

Manifest = dict[str, Any]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def helm(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm; nothing of the user's own settings counts."""
    with tempfile.TemporaryDirectory() as home:
        folders = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HOME")
        return subprocess.run(
            [require("helm"), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**dict.fromkeys(folders, home), "HELM_DRIVER": "configmap"},
        )


def template(
    *words: str | Path, values: Any = None, version: str = "1.33.0"
) -> subprocess.CompletedProcess[str]:
    """Run `helm template` with these values, for this version of Kubernetes."""
    return _template(words, yaml.safe_dump(values or {}), version)


@cache
def _template(
    words: tuple[str | Path, ...], values: str, version: str
) -> subprocess.CompletedProcess[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(values)
        file.flush()
        where = ("--namespace", NAMESPACE, "--kube-version", version)
        given = ("--values", file.name)
        return helm("template", "sidecar", CHART, *where, *given, *words)


def render(*words: str | Path, values: Any = None, version: str = "1.33.0") -> str:
    """Give what `helm template` prints."""
    rendered = template(*words, values=values, version=version)
    assert rendered.returncode == 0, rendered.stderr
    return rendered.stdout


def manifests(
    *words: str | Path, values: Any = None, version: str = "1.33.0"
) -> list[Manifest]:
    """Give the objects that `helm template` prints."""
    text = render(*words, values=values, version=version)
    return [each for each in yaml.load_all(text, _LOADER) if each]


def refusal(values: Any) -> str:
    """Give what Helm says to values that it must not take."""
    refused = template(values=values)
    assert refused.returncode != 0
    assert not refused.stdout
    return refused.stderr


def find(objects: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """Give the one object of that kind, and name."""
    found = [
        each
        for each in objects
        if each["kind"] == kind and name in {None, each["metadata"]["name"]}
    ]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]
