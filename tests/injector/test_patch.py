from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonpatch
import kubernetes_validate
import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from sidecar import __version__
from sidecar.config.app_probes import parse_app_probes
from sidecar.injector.model import (
    InjectionContext,
    InjectionSettings,
    KubernetesVersion,
    Patched,
    Refused,
    Skipped,
)
from sidecar.injector.operations import applied
from sidecar.injector.patch import inject
from tests.injector.pods import CASES, CONTEXT, NATIVE, PODS, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = ("1.32", "1.34", "1.37")


def patched(pod: dict[str, Any], settings: InjectionSettings = SETTINGS) -> Patched:
    result = inject(pod, CONTEXT, settings)
    assert isinstance(result, Patched)
    return result


def injected(pod: dict[str, Any], settings: InjectionSettings = SETTINGS) -> Any:
    return applied(pod, patched(pod, settings).operations)


def environ(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"]}


@pytest.mark.parametrize("name", CASES)
def test_the_patch_is_that_of_the_golden_file(
    name: str, golden: Callable[[str, str], None]
) -> None:
    result = patched(*CASES[name])
    value = {"notes": result.notes, "operations": result.operations}
    text = json.dumps(value, indent=1) + "\n"
    version = f'\\"version\\":\\"{__version__}\\"'
    golden(f"{name}.json", text.replace(version, '\\"version\\":\\"0\\"'))


@pytest.mark.parametrize("name", CASES)
def test_another_library_applies_it_and_kubernetes_takes_the_pod(name: str) -> None:
    pod, settings = CASES[name]
    operations = [dict(each) for each in patched(pod, settings).operations]
    result = jsonpatch.JsonPatch(operations).apply(pod)
    assert result == injected(pod, settings)
    whole = {"apiVersion": "v1", "kind": "Pod", **result}
    for version in VERSIONS:
        kubernetes_validate.validate(whole, version, strict=True)


@pytest.mark.parametrize("name", CASES)
def test_a_pod_is_injected_once(name: str) -> None:
    pod, settings = CASES[name]
    again = inject(injected(pod, settings), CONTEXT, settings)
    assert again == Skipped("it has the sidecar already")


@pytest.mark.parametrize("name", CASES)
def test_the_pod_itself_is_not_changed(name: str) -> None:
    pod, settings = CASES[name]
    before = json.dumps(pod)
    inject(pod, CONTEXT, settings)
    assert json.dumps(pod) == before


def test_a_native_sidecar_comes_before_every_other_container() -> None:
    pod, settings = CASES["probes-native"]
    spec = injected(pod, settings)["spec"]
    names = [each["name"] for each in spec["initContainers"]]
    assert names == ["sidecar-init", "sidecar", "migrate", "cache"]
    assert spec["initContainers"][1]["restartPolicy"] == "Always"
    assert [each["name"] for each in spec["containers"]] == ["web", "worker"]


def test_another_sidecar_comes_before_the_application_and_after_init_containers() -> (
    None
):
    spec = injected(PODS["probes"])["spec"]
    names = [each["name"] for each in spec["initContainers"]]
    assert names == ["migrate", "cache", "sidecar-init"]
    assert [each["name"] for each in spec["containers"]] == ["sidecar", "web", "worker"]


DEFAULT = "kubectl.kubernetes.io/default-container"


def test_kubectl_goes_on_taking_the_application_for_what_is_meant() -> None:
    assert injected(PODS["probes"])["metadata"]["annotations"][DEFAULT] == "web"
    native = injected(PODS["probes"], NATIVE)
    assert DEFAULT not in native["metadata"]["annotations"]
    pod = {**PODS["probes"], "metadata": {"annotations": {DEFAULT: "worker"}}}
    assert injected(pod)["metadata"]["annotations"][DEFAULT] == "worker"


def test_the_version_of_the_cluster_wins_over_that_of_the_settings() -> None:
    old = evolve(CONTEXT, kubernetes_version=KubernetesVersion(1, 28))
    result = inject(PODS["smallest"], old, CASES["job-native"][1])
    assert isinstance(result, Patched)
    spec = applied(PODS["smallest"], result.operations)["spec"]
    assert spec["containers"][0]["name"] == "sidecar"


def test_every_probe_asks_the_sidecar_and_the_sidecar_is_told_what_to_ask() -> None:
    spec = injected(PODS["probes"])["spec"]
    sidecar, web, _ = spec["containers"]
    asked = parse_app_probes(environ(sidecar)["SIDECAR_APP_PROBES"])
    handlers = [
        web["livenessProbe"]["httpGet"],
        web["readinessProbe"]["httpGet"],
        web["startupProbe"]["httpGet"],
        web["lifecycle"]["preStop"]["httpGet"],
        spec["initContainers"][1]["startupProbe"]["httpGet"],
    ]
    assert {each["path"] for each in handlers} == asked.keys()
    assert {each["port"] for each in handlers} == {15020}
    assert web["livenessProbe"]["timeoutSeconds"] == 3
    assert asked["/app-health/web/livez"].timeout_seconds == 3
    assert web["startupProbe"] == {
        "failureThreshold": 30,
        "httpGet": {
            "path": "/app-health/web/startupz",
            "port": 15020,
            "scheme": "HTTP",
        },
    }


def test_everything_that_is_wrong_is_said_at_once() -> None:
    pod: dict[str, Any] = {
        "metadata": {"annotations": {"sidecar.mesh/log-level": "loud"}},
        "spec": {
            "containers": [
                {
                    "name": "web",
                    "securityContext": {"runAsUser": 1337},
                    "ports": [{"containerPort": 15020}],
                    "livenessProbe": {"tcpSocket": {"port": "htpp"}},
                }
            ]
        },
    }
    result = inject(pod, CONTEXT, SETTINGS)
    assert isinstance(result, Refused)
    assert [each.split(":")[0] for each in result.problems] == [
        "annotation sidecar.mesh/log-level",
        "spec.containers[web].ports",
        "spec.containers[web]",
        "spec.containers[web].livenessProbe.tcpSocket.port",
    ]


def test_probes_that_no_process_can_be_told_are_refused() -> None:
    headers = [{"name": "X", "value": "x" * 9000}]
    get = {"httpGet": {"port": 80, "httpHeaders": headers}}
    containers = [{"name": f"c{at}", "livenessProbe": get} for at in range(15)]
    result = inject({"spec": {"containers": containers}}, CONTEXT, SETTINGS)
    assert isinstance(result, Refused)
    assert result.message.startswith(
        "SIDECAR_APP_PROBES: a process takes a variable of"
    )


def test_a_switch_that_nobody_understands_is_refused() -> None:
    pod = {**PODS["smallest"], "metadata": {"labels": {"sidecar.mesh/inject": "on"}}}
    result = inject(pod, CONTEXT, SETTINGS)
    assert isinstance(result, Refused)
    assert "expected 'enabled' or 'disabled'" in result.message


def test_who_has_no_pod_is_told_so() -> None:
    result = inject({"spec": 1}, CONTEXT, SETTINGS)
    assert result == Refused(("spec: expected a mapping, got 1",))


def test_a_pod_of_nobody_is_skipped() -> None:
    assert isinstance(inject(PODS["smallest"], InjectionContext(), SETTINGS), Skipped)


def test_a_pod_that_is_marked_already_is_marked_once() -> None:
    pod = {
        **PODS["smallest"],
        "metadata": {"labels": {"sidecar.mesh/injected": "true"}},
    }
    paths = [each["path"] for each in patched(pod).operations]
    assert "/metadata/labels/sidecar.mesh~1injected" not in paths


def test_what_does_not_fit_the_annotations_is_refused() -> None:
    """An API server would say no more than that they are too long."""
    pod = {**PODS["smallest"], "metadata": {"annotations": {"a": "x" * 262_000}}}
    result = inject(pod, CONTEXT, SETTINGS)
    assert isinstance(result, Refused)
    (problem,) = result.problems
    assert problem.startswith("metadata.annotations: Kubernetes takes 262144 bytes")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda each: (
        st.lists(each, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "ports",
                    "port",
                    "containerPort",
                    "livenessProbe",
                    "lifecycle",
                    "preStop",
                    "httpGet",
                    "grpc",
                    "tcpSocket",
                    "securityContext",
                    "runAsUser",
                    "timeoutSeconds",
                    "env",
                ]
            ),
            each,
            max_size=4,
        )
    ),
    max_leaves=15,
)
FIELDS = st.sampled_from(
    [
        "volumes",
        "imagePullSecrets",
        "initContainers",
        "restartPolicy",
        "serviceAccountName",
        "terminationGracePeriodSeconds",
        "hostNetwork",
        "os",
        "nodeSelector",
    ]
)


@given(
    st.dictionaries(FIELDS, JSON, max_size=3),
    st.dictionaries(st.text(max_size=3), JSON, max_size=3),
    JSON | st.fixed_dictionaries({"annotations": JSON, "labels": JSON}),
)
def test_whatever_a_pod_is_made_of_there_is_an_answer(
    spec: dict[str, Any], container: dict[str, Any], metadata: Any
) -> None:
    containers = [{"name": "web", **container}]
    pod = {"metadata": metadata, "spec": {**spec, "containers": containers}}
    result = inject(pod, CONTEXT, SETTINGS)
    if isinstance(result, Patched):
        applied(pod, result.operations)
