"""Print the manifests for those without Helm: the chart, with nothing but its defaults.

`scripts/chart` calls this, with the path of helm.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

CHART: Final = Path(__file__).with_name("chart")
NAMESPACE: Final = "sidecar-system"
VERSION: Final = "1.29.0"
"""Of Kubernetes: the first that has native sidecars."""

_HEAD: Final = f"""\
# The webhook and what it needs, for those without Helm:
#
#   kubectl apply -f sidecar.yaml -f shop.yaml
#
# Made from deploy/k8s/chart by scripts/chart: change it there. Replace the image
# `sidecar:TAG` by yours, everywhere. On Kubernetes before {VERSION[:4]} write your version
# into injection.yaml below: there are no native sidecars.
---
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""
_EXAMPLE_HEAD: Final = """\
# What namespaces of the mesh need: the label, and a ConfigMap that says what their pods
# may. Made from deploy/k8s/chart by scripts/chart. Check yours before you apply it:
#
#   sidecar check --manifests shop.yaml
"""
_LABELLED: Final = """\
---
apiVersion: v1
kind: Namespace
metadata:
  name: {}
  labels:
    sidecar.mesh/inject: enabled
"""
_HELMS: Final = re.compile(
    r"^ *(app\.kubernetes\.io/managed-by|helm\.sh/chart): .*\n|^# Source: .*\n",
    re.MULTILINE,
)
"""Helm would take what bears these for its own."""


def files(helm: Path) -> dict[str, str]:
    """Give each file's name and text.

    Raises:
        subprocess.CalledProcessError: Helm fails; it has said why.
    """
    example = ("--values", str(CHART / "ci" / "shop-values.yaml"))
    config_maps = _template(helm, *example, "--show-only", "templates/namespaces.yaml")
    namespaces = map(_LABELLED.format, ("payments", "shop"))
    return {
        "sidecar.yaml": _HEAD + _template(helm),
        "shop.yaml": "".join([_EXAMPLE_HEAD, *namespaces, config_maps]),
    }


def _template(helm: Path, *words: str) -> str:
    where = ("--namespace", NAMESPACE, "--kube-version", VERSION, "--no-hooks")
    # Files that are there to be read as they are: deploy/k8s/dashboards.
    words = (*words, "--set=dashboards.enabled=false")
    rendered = subprocess.run(
        [helm, "template", "sidecar", CHART, *where, *words],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return _HELMS.sub("", rendered)


if __name__ == "__main__":
    folder = Path(__file__).with_name("manifests")
    for name, text in files(Path(sys.argv[1])).items():
        (folder / name).write_text(text)
