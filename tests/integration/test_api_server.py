"""A real API server, where there is one: it asks the webhook, and judges what comes out.

kube-apiserver is not to be had from a package registry, so this is skipped without
KUBEBUILDER_ASSETS, the folder where it is; `test_inject.py` asks kubectl alone.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from sidecar.injector.model import InjectionContext, Patched, RedirectSettings
from sidecar.injector.operations import applied
from sidecar.injector.patch import inject
from sidecar.injector.restore import uninject
from tests.injector.pods import NATIVE, PODS
from tests.support.api_server import (
    ApiServer,
    LateWebhook,
    Manifest,
    configuration,
    containers_of,
)
from tests.support.deadlines import eventually
from tests.support.webhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "shop", "labels": {"sidecar.mesh/inject": "enabled"}},
}
ACCOUNTS = ("default", "web")


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
    with ApiServer(folder) as server, webhook, LateWebhook(webhook) as late:
        eventually(webhook.is_ready, "the webhook")
        eventually(server.is_ready, "the API server", seconds=240)
        server.create(given=NAMESPACE)
        for name in ACCOUNTS:
            server.create(given=_object("ServiceAccount", name))
        server.create(given=configuration(webhook))
        server.create(given=late.configuration())
        probe = _changed(PODS["smallest"], containers="{}")

        def are_asked() -> bool:
            """Tell whether the API server has seen the configurations by now."""
            made = server.create("--dry-run=server", given=_pod("probe", probe))
            return len(containers_of(made)) == 4

        eventually(are_asked, "a pod with the sidecar", seconds=30)
        yield server


def _object(
    kind: str, name: str, metadata: Manifest | None = None, namespace: str = "shop"
) -> Manifest:
    metadata = {**(metadata or {}), "name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def _pod(name: str, shape: Manifest, namespace: str = "shop") -> Manifest:
    made = _object("Pod", name, shape.get("metadata"), namespace)
    return made | {"spec": shape["spec"]}


def _changed(pod: Manifest, **late: str) -> Manifest:
    """Give a pod to which another webhook adds containers, once ours was asked."""
    metadata = pod.get("metadata") or {}
    asked = {f"example.org/{inside}": text for inside, text in late.items()}
    annotations = {**(metadata.get("annotations") or {}), **asked}
    return {**pod, "metadata": {**metadata, "annotations": annotations}}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_with_the_sidecar_is_one_that_kubernetes_takes(
    cluster: ApiServer, name: str
) -> None:
    made = cluster.create("--dry-run=server", given=_pod(name, PODS[name]))
    names = {each["name"] for each in containers_of(made)}
    assert {"sidecar", "sidecar-init"} < names
    assert made["metadata"]["labels"]["sidecar.mesh/injected"] == "true"


def test_the_token_of_the_service_account_is_the_applications_alone(
    cluster: ApiServer,
) -> None:
    made = cluster.create("--dry-run=server", given=_pod("token", PODS["smallest"]))
    (holds,) = [each["name"] for each in made["spec"]["volumes"] if "projected" in each]
    having = {
        each["name"]
        for each in containers_of(made)
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


@pytest.mark.parametrize("name", ["smallest", "probes"])
def test_what_a_webhook_behind_ours_adds_is_of_the_mesh(
    cluster: ApiServer, name: str
) -> None:
    asked = _changed(
        PODS[name], containers="{}", initContainers='{"livenessProbe": null}'
    )
    made = cluster.create("--dry-run=server", given=_pod("late", asked))
    inits = [each["name"] for each in made["spec"]["initContainers"]]
    assert inits[:3] == ["sidecar-init", "sidecar", "late-initcontainers"]
    names = [each["name"] for each in containers_of(made)]
    assert len(names) == len({*names})
    (late,) = [
        each for each in made["spec"]["containers"] if each["name"] == "late-containers"
    ]
    probe = late["livenessProbe"]["httpGet"]
    assert (probe["path"], probe["port"]) == (
        "/app-health/late-containers/livez",
        15020,
    )
    (sidecar,) = [each for each in containers_of(made) if each["name"] == "sidecar"]
    (told,) = [
        json.loads(each["value"])
        for each in sidecar["env"]
        if each["name"] == "SIDECAR_APP_PROBES"
    ]
    asked_for = told["/app-health/late-containers/livez"]["httpGet"]
    assert (asked_for["path"], asked_for["port"]) == ("/ok", 9090)
    back = uninject(made)
    assert isinstance(back, Patched)
    assert back.notes == ()
    before = [each["name"] for each in containers_of(_pod("late", PODS[name]))]
    left = containers_of(applied(made, back.operations))
    late_names = ["late-initcontainers", "late-containers"]
    assert {each["name"] for each in left} == {*before, *late_names}
    assert not any("app-health" in json.dumps(each) for each in left)


def test_what_a_webhook_behind_ours_adds_passes_by_nothing(cluster: ApiServer) -> None:
    late = '{"securityContext": {"runAsUser": 1337}}'
    pod = _pod("late", _changed(PODS["smallest"], containers=late))
    refused = cluster.kubectl("create", "-f-", given=pod)
    assert refused.returncode != 0
    assert "spec.containers[late-containers]: runAsUser 1337" in refused.stderr


def test_who_asks_for_the_sidecar_and_has_it_is_not_warned(cluster: ApiServer) -> None:
    """Though ours is asked again, as the other has changed the pod."""
    bare = _changed(PODS["smallest"], initContainers='{"livenessProbe": null}')
    bare["metadata"]["labels"] = {"sidecar.mesh/inject": "enabled"}
    done = cluster.kubectl("create", "--dry-run=server", "-f-", given=_pod("x", bare))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_label_of_a_namespace_that_is_no_word_is_no_way_out(
    cluster: ApiServer,
) -> None:
    labels = {"sidecar.mesh/inject": "enabeld"}
    metadata = {"name": "misspelt", "labels": labels}
    cluster.create(
        given={"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    )
    cluster.create(given=_object("ServiceAccount", "default", namespace="misspelt"))
    pod = _pod("web", PODS["smallest"], namespace="misspelt")
    refused = cluster.kubectl("create", "-f-", given=pod)
    assert refused.returncode != 0
    assert 'webhook "misspelt.inject.sidecar.mesh" denied' in refused.stderr
    assert "the label of the namespace misspelt, sidecar.mesh/inject" in refused.stderr
    said = {"metadata": {"labels": {"sidecar.mesh/inject": "disabled"}}}
    pod = _pod("web", {**PODS["smallest"], **said}, namespace="misspelt")
    assert len(containers_of(cluster.create(given=pod))) == 1


def test_a_pod_can_be_copied_to_debug_it(cluster: ApiServer) -> None:
    cluster.create(given=_pod("debugged", PODS["probes"]))
    words = ["--namespace", "shop", "--copy-to", "copy", "--image", "busybox"]
    done = cluster.kubectl("debug", "debugged", *words, "--profile", "general")
    assert done.returncode == 0, done.stderr
    got = cluster.kubectl("get", "pod", "copy", "--namespace", "shop", "-ojson")
    copied = json.loads(got.stdout)
    names = [each["name"] for each in containers_of(copied)]
    assert names[:2] == ["sidecar-init", "sidecar"]
    assert names[-1].startswith("debugger-")
    assert copied["metadata"]["labels"]["sidecar.mesh/injected"] == "true"


def test_without_redirection_a_pod_keeps_the_restricted_standard(
    cluster: ApiServer,
) -> None:
    """And with it is refused, which the API server says of `sidecar-init`."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": "restricted", "labels": labels}
    cluster.create(
        given={"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    )
    cluster.create(given=_object("ServiceAccount", "default", namespace="restricted"))
    security = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "web", "image": "web", "securityContext": security}
    pod = _pod("web", {"spec": {"containers": [container]}}, namespace="restricted")
    for enabled in (False, True):
        settings = evolve(NATIVE, redirect=RedirectSettings(enabled=enabled))
        made = inject(pod, InjectionContext("restricted", enabled=True), settings)
        assert isinstance(made, Patched)
        given = applied(pod, made.operations)
        done = cluster.kubectl("create", "--dry-run=server", "-f-", given=given)
        assert (done.returncode == 0) is not enabled, done.stderr
        assert ('"sidecar-init" must not include' in done.stderr) is enabled
