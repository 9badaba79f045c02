"""What the chart installs, set to work: its Job, its webhook, an API server's trust.

The commands are those of the rendered containers; the files are where their volumes
would put them.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonpatch
import yaml

from sidecar.injector.model import InjectionContext, Patched
from sidecar.injector.patch import inject
from sidecar.injector.settings import parse_settings
from tests.certs.clusters import Cluster, serving
from tests.support.helm import NAMESPACE, Manifest, find, manifests
from tests.support.ports import free_port
from tests.support.processes import Process
from tests.support.programs import require

if TYPE_CHECKING:
    from pathlib import Path

POD = {
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "web", "image": "x"}]},
}
VALUES: Manifest = {"namespaces": {"shop": {}}}


def container(manifest: Manifest) -> Any:
    (only,) = manifest["spec"]["template"]["spec"]["containers"]
    return only


def install(cluster: Cluster, objects: list[Manifest]) -> tuple[str, str]:
    """Let the cluster have the Secret and the configuration; give their paths."""
    secret = find(objects, "Secret")
    configuration = find(objects, "MutatingWebhookConfiguration")
    group = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    paths = (
        f"/api/v1/namespaces/{NAMESPACE}/secrets/{secret['metadata']['name']}",
        f"{group}/{configuration['metadata']['name']}",
    )
    cluster.objects.clear()
    for path, manifest in zip(paths, (secret, configuration), strict=True):
        manifest["metadata"]["resourceVersion"] = "1"
        cluster.objects[path] = manifest
    return paths


def test_the_chart_s_webhook_is_trusted_and_gives_a_pod_its_sidecar(
    tmp_path: Path,
) -> None:
    objects = manifests(
        values={**VALUES, "check": {"enabled": False}}, version="1.33.0"
    )
    (tmp_path / "cluster").mkdir()
    with serving(tmp_path / "cluster") as cluster:
        at_secret, at_configuration = install(cluster, objects)
        job = [*container(find(objects, "Job"))["args"], *cluster.options]
        subprocess.run([sys.executable, "-m", "sidecar", *job], check=True)
        secret, configuration = (
            cluster.objects[path] for path in (at_secret, at_configuration)
        )

    deployment = find(objects, "Deployment")
    mount_volumes(deployment, objects, secret, tmp_path)
    ports = {"15017": str(free_port()), "15020": str(free_port())}
    with Process(webhook_command(deployment, tmp_path, ports), tmp_path) as webhook:
        webhook.wait_for_line("ready")
        (answer, *_) = [
            ask(each["clientConfig"], ports["15017"], tmp_path)
            for each in configuration["webhooks"]
        ]
        response = answer["response"]
        assert response["allowed"] is True
        patch = json.loads(base64.b64decode(response["patch"]))
        assert "sidecar:0.1.0" in json.dumps(patch)
        assert webhook.stop(20) == 0


def mount_volumes(
    deployment: Manifest, objects: list[Manifest], secret: Manifest, folder: Path
) -> None:
    """Write what the volumes of the webhook's pod hold, below *folder*."""
    volumes = {
        each["name"]: each for each in deployment["spec"]["template"]["spec"]["volumes"]
    }
    for mount in container(deployment)["volumeMounts"]:
        place = folder / mount["mountPath"].strip("/")
        place.mkdir(parents=True)
        volume = volumes[mount["name"]]
        if "configMap" in volume:
            name = volume["configMap"]["name"]
            for key, text in find(objects, "ConfigMap", name)["data"].items():
                (place / key).write_text(text)
        else:
            assert volume["secret"]["secretName"] == secret["metadata"]["name"]
            for item in volume["secret"]["items"]:
                data = base64.b64decode(secret["data"][item["key"]])
                file = place / item["path"]
                file.write_bytes(data)
                # The kubelet gives it to the group fsGroup: here it is our own.
                file.chmod(volume["secret"]["defaultMode"])


def webhook_command(
    deployment: Manifest, folder: Path, ports: dict[str, str]
) -> list[str]:
    """Give the container's command, with the files below *folder*, on these ports."""
    words = []
    for word in container(deployment)["args"]:
        option, equals, value = word.partition("=")
        if value.startswith("/"):
            value = f"{folder}{value}"
        host, colon, port = value.rpartition(":")
        if colon:
            value = f"{host}:{ports[port]}"
        words.append(f"{option}{equals}{value}")
    return [sys.executable, "-m", "sidecar", *words, "--drain-delay=0"]


def ask(client: Any, port: str, folder: Path) -> Any:
    """Ask for a review as an API server does: by the service's name, trusting caBundle."""
    (folder / "ca.crt").write_bytes(base64.b64decode(client["caBundle"]))
    host = f"{client['service']['name']}.{client['service']['namespace']}.svc"
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": "shop",
        "object": {"apiVersion": "v1", "kind": "Pod", **POD},
    }
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": request,
    }
    url = f"https://{host}:{client['service']['port']}{client['service']['path']}"
    answer = subprocess.run(
        [
            *(
                require("curl"),
                "--silent",
                "--show-error",
                "--fail",
                "--max-time",
                "20",
            ),
            *(
                "--cacert",
                folder / "ca.crt",
                "--header",
                "Content-Type: application/json",
            ),
            *("--connect-to", f"{host}:{client['service']['port']}:127.0.0.1:{port}"),
            *("--data", json.dumps(review), url),
        ],
        capture_output=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_the_injected_pod_finds_the_files_that_the_chart_makes() -> None:
    objects = manifests(values=VALUES)
    injection = find(objects, "ConfigMap", "sidecar-injection")["data"][
        "injection.yaml"
    ]
    pod = {"apiVersion": "v1", "kind": "Pod", **POD}
    with_sidecar = injected(injection, pod)
    spec = with_sidecar["spec"]
    (sidecar,) = [
        each
        for each in [*spec["containers"], *spec.get("initContainers", [])]
        if each["name"] == "sidecar"
    ]
    folders = {each["mountPath"] for each in sidecar["volumeMounts"]}
    files = find(objects, "ConfigMap", "sidecar")["data"]
    config = yaml.safe_load(files["sidecar.yaml"])
    identity = config["identity"]
    for path in (identity["certificate_chain"], *identity["trust_bundles"].values()):
        assert path.rpartition("/")[0] in folders
    assert sidecar["args"][:3] == ["run", "--config", "/etc/sidecar/sidecar.yaml"]
    assert "/etc/sidecar" in folders
    mounted = [
        each["configMap"]["name"] for each in spec["volumes"] if "configMap" in each
    ]
    assert mounted == ["sidecar"]
    (port,) = [each["containerPort"] for each in sidecar["ports"]]
    assert config["telemetry"]["listen"].endswith(f":{port}")
    assert is_scraped("sidecar", with_sidecar["metadata"], sidecar)


def test_the_webhook_is_scraped_too() -> None:
    template = find(manifests(), "Deployment")["spec"]["template"]
    (webhook,) = template["spec"]["containers"]
    assert is_scraped("sidecar-webhook", template["metadata"], webhook)


def is_scraped(monitor: str, metadata: Any, container: Any) -> bool:
    """Tell whether a PodMonitor takes a pod, and finds the port that it names."""
    enabled = {"podMonitor": {"enabled": True}}
    spec = find(manifests(values=enabled), "PodMonitor", monitor)["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    wanted = spec["selector"]["matchLabels"].items()
    ports = {each["name"] for each in container["ports"]}
    return wanted <= metadata["labels"].items() and endpoint["port"] in ports


def injected(settings: str, pod: Manifest) -> Manifest:
    context = InjectionContext(namespace="shop", enabled=True)
    patched = inject(pod, context, parse_settings(settings.encode(), "rendered"))
    assert isinstance(patched, Patched)
    result: Manifest = jsonpatch.apply_patch(pod, list(patched.operations))
    return result
