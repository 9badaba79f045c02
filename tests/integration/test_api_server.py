"""A real API server, where there is one: it asks the webhook, and judges what comes out.

kube-apiserver is not to be had from a package registry, so this is skipped without
KUBEBUILDER_ASSETS, the folder where it is; `test_inject.py` asks kubectl alone.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.injector.pods import PODS
from tests.support.deadlines import eventually
from tests.support.helm import manifests
from tests.support.processes import ROOT, Process
from tests.support.programs import require
from tests.support.webhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

Manifest = dict[str, Any]

NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "shop", "labels": {"sidecar.mesh/inject": "enabled"}},
}
ACCOUNTS = ("default", "web")


class ApiServer(Process):
    """etcd and kube-apiserver, empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        script = ROOT / "scripts" / "with-api-server"
        words = ["sh", "-c", 'echo "$KUBECONFIG"; exec sleep 600']
        super().__init__([script, *words], folder, "api-server")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the command too: before that the script does not mind a signal."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
            self.wait()
        super().__exit__(kind, error, trace)

    def is_ready(self) -> bool:
        self.check_running()
        return bool(self.stdout.read_text())

    def kubectl(
        self, *words: str, given: Manifest | None = None
    ) -> subprocess.CompletedProcess[str]:
        config = self.stdout.read_text().strip()
        return subprocess.run(
            [require("kubectl"), "--kubeconfig", config, *words],
            input=None if given is None else json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
            env={"HOME": str(self.folder)},
        )

    def create(self, *words: str, given: Manifest) -> Manifest:
        done = self.kubectl("create", "-f-", "-ojson", *words, given=given)
        assert done.returncode == 0, done.stderr
        created: Manifest = json.loads(done.stdout)
        return created


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Give an API server that asks a webhook, as the chart says."""
    if not os.getenv("KUBEBUILDER_ASSETS"):
        pytest.skip(
            "KUBEBUILDER_ASSETS is not set: `setup-envtest use -p path` fetches etcd and"
            " kube-apiserver, to have them asked"
        )
    folder = tmp_path_factory.mktemp("api-server")
    settings = 'image: example/sidecar:1\nkubernetes_version: "1.34"\n'
    webhook = Webhook(folder, "--drain-delay", "0", settings=settings)
    with ApiServer(folder) as server, webhook:
        eventually(webhook.is_ready, "the webhook")
        eventually(server.is_ready, "the API server", seconds=240)
        server.create(given=NAMESPACE)
        for name in ACCOUNTS:
            server.create(given=_object("ServiceAccount", name))
        server.create(given=_configuration(webhook))
        probe = _pod("probe", PODS["smallest"])

        def is_asked() -> bool:
            """Tell whether the API server has seen the configuration by now."""
            return len(_containers(server.create("--dry-run=server", given=probe))) > 1

        eventually(is_asked, "a pod with the sidecar", seconds=30)
        yield server


def _configuration(webhook: Webhook) -> Manifest:
    """Give the chart's, that asks over loopback rather than through a service."""
    (made,) = [
        each for each in manifests() if each["kind"] == "MutatingWebhookConfiguration"
    ]
    for each in made["webhooks"]:
        bundle = (webhook.folder / "webhook.bundle.crt").read_bytes()
        each["clientConfig"] = {
            "url": f"https://localhost:{webhook.port}/inject",
            "caBundle": base64.b64encode(bundle).decode(),
        }
    return made


def _object(kind: str, name: str, metadata: Manifest | None = None) -> Manifest:
    metadata = {**(metadata or {}), "name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def _pod(name: str, shape: Manifest) -> Manifest:
    made = _object("Pod", name, shape.get("metadata"))
    return made | {"spec": shape["spec"]}


def _containers(pod: Manifest) -> list[Manifest]:
    spec = pod["spec"]
    found: list[Manifest] = spec.get("initContainers", []) + spec["containers"]
    return found


@pytest.mark.parametrize("name", PODS)
def test_a_pod_with_the_sidecar_is_one_that_kubernetes_takes(
    cluster: ApiServer, name: str
) -> None:
    made = cluster.create("--dry-run=server", given=_pod(name, PODS[name]))
    names = {each["name"] for each in _containers(made)}
    assert {"sidecar", "sidecar-init"} < names
    assert made["metadata"]["labels"]["sidecar.mesh/injected"] == "true"


def test_the_token_of_the_service_account_is_the_applications_alone(
    cluster: ApiServer,
) -> None:
    made = cluster.create("--dry-run=server", given=_pod("token", PODS["smallest"]))
    (holds,) = [each["name"] for each in made["spec"]["volumes"] if "projected" in each]
    having = {
        each["name"]
        for each in _containers(made)
        if any(mount["name"] == holds for mount in each["volumeMounts"])
    }
    assert having == {"web"}


def test_what_has_the_sidecar_is_created_again_as_it_is(cluster: ApiServer) -> None:
    made = cluster.create("--dry-run=server", given=_pod("first", PODS["probes"]))
    again = _pod("second", made)
    for key in ("uid", "creationTimestamp"):
        del again["metadata"][key]
    assert cluster.create("--dry-run=server", given=again)["spec"] == made["spec"]


def test_who_is_refused_is_told_by_kubectl_what_to_change(cluster: ApiServer) -> None:
    spec = {**PODS["smallest"]["spec"], "securityContext": {"runAsUser": 1337}}
    refused = cluster.kubectl("create", "-f-", given=_pod("refused", {"spec": spec}))
    assert refused.returncode != 0
    assert 'webhook "namespace.inject.sidecar.mesh" denied' in refused.stderr
    assert "spec.containers[web]: runAsUser 1337 is the sidecar's" in refused.stderr
