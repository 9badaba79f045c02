"""The examples of deploy/k8s/examples, made into what a cluster would be given.

Everything comes from the programs that their READMEs name: the ConfigMaps from the
chart, the Secrets from `secrets.sh`, the pods from `sidecar inject`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Self

import yaml
from attrs import frozen

from tests.support.helm import Manifest, find, manifests
from tests.support.processes import ROOT
from tests.support.programs import require

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = ROOT / "deploy" / "k8s" / "examples"
SIDECAR = (sys.executable, "-m", "sidecar")


@frozen
class Example:
    """One of them: its folder, and whose values and manifests it has."""

    folder: Path

    @classmethod
    def named(cls, name: str) -> Self:
        return cls(EXAMPLES / name)

    @property
    def values(self) -> tuple[Path, ...]:
        """The files of values, in the order in which Helm gets them."""
        own = self.folder / "values.yaml"
        if self.paths:
            return (own,)
        return (EXAMPLES / "shop" / "values.yaml", own)  # laid over those of the shop

    @property
    def paths(self) -> list[Path]:
        """The manifests, in the order in which they are applied."""
        found = set(self.folder.glob("*.yaml")) - {self.folder / "values.yaml"}
        return sorted(found, key=lambda path: (path.stem != "namespaces", path))

    def helm_words(self) -> list[str | Path]:
        return [word for path in self.values for word in ("--values", path)]

    def objects(self) -> list[Manifest]:
        """Give what stands in the manifests."""
        return [each for path in self.paths for each in loaded(path.read_text())]

    def rendered(self, version: str = "1.33.0") -> list[Manifest]:
        """Give what the chart makes of the values."""
        return manifests(*self.helm_words(), version=version)

    def injected(self, folder: Path, version: str = "1.33.0") -> list[Manifest]:
        """Give the manifests as `sidecar inject` prints them, told what a webhook is."""
        found = find(self.rendered(version), "ConfigMap", "sidecar-injection")
        settings = folder / "injection.yaml"
        settings.write_text(found["data"]["injection.yaml"])
        command: list[str | Path] = [*SIDECAR, "inject", "--settings", settings]
        return loaded(run([*command, *self.paths]))


def secrets(folder: Path, domain: str, *workloads: str) -> list[Manifest]:
    """Give the Secrets that `secrets.sh` prints; its CA stays in *folder*/pki."""
    require("kubectl")
    env = {
        **os.environ,  # noqa: TID251 - for a process
        "PKI": str(folder / "pki"),
        "SIDECAR": " ".join(SIDECAR),
    }
    return loaded(run([EXAMPLES / "secrets.sh", domain, *workloads], env))


def run(command: list[str | Path], env: dict[str, str] | None = None) -> str:
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=env
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def loaded(text: str) -> list[Manifest]:
    return [each for each in yaml.safe_load_all(text) if each]


def pod_template(manifest: Manifest) -> Manifest | None:
    """Give the pod of a Deployment, Job or CronJob; of anything else, None."""
    spec = manifest.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    pod: Manifest | None = spec.get("template")
    return pod
