"""The examples of deploy/k8s/examples, made into what a cluster would be given.

Everything comes from the programs that their READMEs name: the ConfigMaps from the
chart, the Secrets from `secrets.sh`, the pods from `sidecar inject`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final, Self

import yaml
from attrs import frozen

from tests.support.helm import Manifest, find, manifests
from tests.support.processes import ROOT
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EXAMPLES = ROOT / "deploy" / "k8s" / "examples"
SIDECAR = (sys.executable, "-m", "sidecar")

PARTNER = ("certs", "init", "--trust-domain", "partner.test", "--dir", "partner")
"""What the partner calls `sidecar` with, to have a trust domain."""

FILES: Final[dict[str, tuple[Sequence[str | Path], str]]] = {
    "clinic": (
        [EXAMPLES / "clinic" / "devices.sh"],
        r"namespaces.clinic.files.devices\.pem=devices/ca.crt",
    ),
    "partner": ([*SIDECAR, *PARTNER], r"mesh.files.partner\.pem=partner/ca.crt"),
}
"""What an example's values cannot hold: the command that makes it, --set-file for it."""


@frozen
class Example:
    """One of them, and a folder for what is made beforehand."""

    name: str
    work: Path
    given: tuple[str | Path, ...]
    """The words with which Helm gets its values."""

    @classmethod
    def made(cls, name: str, work: Path) -> Self:
        """Do what comes before `helm install` in its README."""
        own = EXAMPLES / name
        values = [own / "values.yaml"]
        if not (own / "namespaces.yaml").exists():
            values.insert(0, EXAMPLES / "shop" / "values.yaml")
        given = [word for path in values for word in ("--values", path)]
        if name in FILES:
            command, option = FILES[name]
            run(command, work)
            key, _, path = option.partition("=")
            given += ["--set-file", f"{key}={work / path}"]
        return cls(name, work, tuple(given))

    @property
    def folder(self) -> Path:
        return EXAMPLES / self.name

    @property
    def paths(self) -> list[Path]:
        """The manifests, in the order in which they are applied."""
        found = set(self.folder.glob("*.yaml")) - {self.folder / "values.yaml"}
        return sorted(found, key=lambda path: (path.stem != "namespaces", path))

    def objects(self) -> list[Manifest]:
        """Give what stands in the manifests."""
        return [each for path in self.paths for each in loaded(path.read_text())]

    def rendered(self, version: str = "1.33.0") -> list[Manifest]:
        """Give what the chart makes of the values."""
        return manifests(*self.given, version=version)

    def injected(self, version: str = "1.33.0") -> list[Manifest]:
        """Give the manifests as `sidecar inject` prints them, told what a webhook is."""
        found = find(self.rendered(version), "ConfigMap", "sidecar-injection")
        self.settings.write_text(found["data"]["injection.yaml"])
        words = ("inject", "--settings", str(self.settings), *map(str, self.paths))
        return loaded(run((*SIDECAR, *words), ROOT))

    @property
    def settings(self) -> Path:
        """Where `injected` puts the settings of the webhook."""
        return self.work / "injection.yaml"

    def secrets(self, domain: str, *workloads: str) -> list[Manifest]:
        """Give the Secrets that `secrets.sh` prints; its CA stays in `pki`."""
        require("kubectl")
        return loaded(run((EXAMPLES / "secrets.sh", domain, *workloads), self.work))


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a program of the examples there; give what it printed."""
    env = {
        **os.environ,  # noqa: TID251 - for a process
        "PYTHONPATH": str(ROOT),
        "SIDECAR": " ".join(SIDECAR),
    }
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=env
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
