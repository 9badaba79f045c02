from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.injector.model import InjectionSettings, Patched, Refused, Skipped
from sidecar.injector.operations import applied
from sidecar.injector.patch import inject
from sidecar.injector.restore import uninject
from sidecar.injector.status import Status
from tests.injector import strategies
from tests.injector.pods import CASES, CONTEXT, FULL, NATIVE, PODS, SETTINGS


def injected(pod: dict[str, Any], settings: InjectionSettings = SETTINGS) -> Any:
    result = inject(pod, CONTEXT, settings)
    assert isinstance(result, Patched)
    return applied(pod, result.operations)


def restored(pod: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    result = uninject(pod)
    assert isinstance(result, Patched)
    return applied(pod, result.operations), result.notes


@pytest.mark.parametrize("name", CASES)
def test_what_was_injected_is_taken_out_again(name: str) -> None:
    pod, settings = CASES[name]
    assert restored(injected(pod, settings)) == (pod, ())


@given(strategies.PODS, st.sampled_from([SETTINGS, NATIVE, FULL]))
def test_whatever_the_pod_what_was_injected_is_taken_out_again(
    pod: dict[str, Any], settings: InjectionSettings
) -> None:
    assert restored(injected(pod, settings)) == (pod, ())


def stored(value: Any) -> Any:
    """Give an object as an API server would give it back."""
    if isinstance(value, list):
        return [*map(stored, value)]
    if not isinstance(value, dict):
        return value
    found = {key: stored(each) for key, each in value.items()}
    found = {key: each for key, each in found.items() if each not in (None, [], {})}
    if "image" in found or "livenessProbe" in found:
        found.setdefault("terminationMessagePath", "/dev/termination-log")
        found.setdefault("imagePullPolicy", "Always")
    if found.keys() & {"httpGet", "tcpSocket", "grpc"}:
        found.setdefault("timeoutSeconds", 1)
        found.setdefault("failureThreshold", 3)
    if "port" in found and "service" not in found:
        found.setdefault("scheme", "HTTP")
    return {key: found[key] for key in sorted(found)}


@given(strategies.PODS, st.sampled_from([SETTINGS, NATIVE, FULL]))
def test_what_went_through_a_cluster_is_taken_out_again(
    pod: dict[str, Any], settings: InjectionSettings
) -> None:
    back, notes = restored(stored(injected(pod, settings)))
    assert stored(back) == stored(pod)
    assert notes == ()


def test_a_pod_without_the_sidecar_stays_as_it_is() -> None:
    assert uninject(PODS["smallest"]) == Skipped("it was not injected")


def test_it_can_be_injected_anew_with_other_settings() -> None:
    before = injected(PODS["probes"], SETTINGS)
    again = injected(restored(before)[0], NATIVE)
    assert restored(again)[0] == PODS["probes"]


def test_what_others_did_to_the_pod_since_stays() -> None:
    pod = injected(PODS["probes"], NATIVE)
    spec = pod["spec"]
    spec["containers"].append({"name": "late", "image": "x"})
    spec["volumes"].insert(0, {"name": "token", "emptyDir": {}})
    spec["containers"][0]["livenessProbe"]["timeoutSeconds"] = 9
    pod["metadata"]["annotations"]["other"] = "1"
    del pod["metadata"]["labels"]["sidecar.mesh/injected"]
    expected = copy.deepcopy(PODS["probes"])
    expected["spec"]["containers"].append({"name": "late", "image": "x"})
    expected["spec"]["volumes"] = [{"name": "token", "emptyDir": {}}]
    expected["spec"]["containers"][0]["livenessProbe"]["timeoutSeconds"] = 9
    expected["metadata"]["annotations"]["other"] = "1"
    assert restored(pod) == (expected, ())


def test_a_probe_that_somebody_changed_since_stays_and_is_named() -> None:
    pod = injected(PODS["probes"])
    web = pod["spec"]["containers"][1]
    web["livenessProbe"]["httpGet"]["path"] = "/mine"
    del web["startupProbe"]
    del pod["spec"]["initContainers"][1]
    after, notes = restored(pod)
    assert after["spec"]["containers"][0]["livenessProbe"]["httpGet"]["path"] == "/mine"
    assert {note.partition(":")[0] for note in notes} == {
        "containers/web/livenessProbe",
        "containers/web/startupProbe",
        "initContainers/cache/startupProbe",
    }
    assert all("somebody has changed it since" in note for note in notes)


def test_what_is_gone_already_is_no_trouble() -> None:
    pod = injected(PODS["annotated"], FULL)
    del pod["spec"]["volumes"]
    pod["spec"]["containers"] = pod["spec"]["containers"][-1:]
    pod["spec"]["imagePullSecrets"] = [1]
    after, _ = restored(pod)
    assert "volumes" not in after["spec"]
    assert after["spec"]["imagePullSecrets"] == [1]


def test_the_text_of_a_file_is_put_back_where_it_was() -> None:
    status = Status(
        {"containers": ["sidecar"], "labels": ["x"]},
        {"/metadata/labels": None},
        {"containers/web/livenessProbe": {"tcpSocket": {"port": 1}}},
        {
            "containers/web/livenessProbe": "tcpSocket: {port: 1}",
            "/metadata/labels": "y",
        },
    )
    ours = {"httpGet": {"path": "/app-health/web/livez"}}
    pod = {
        "metadata": {
            "labels": {"x": "true"},
            "annotations": {"sidecar.mesh/status": status.render()},
        },
        "spec": {
            "containers": [{"name": "sidecar"}, {"name": "web", "livenessProbe": ours}]
        },
    }
    result = uninject(pod)
    assert isinstance(result, Patched)
    assert result.source == {
        "/spec/containers/1/livenessProbe/tcpSocket": "tcpSocket: {port: 1}",
        "/metadata/labels": "y",
    }
    assert applied(pod, result.operations) == {
        "metadata": {"labels": None},
        "spec": {
            "containers": [{"name": "web", "livenessProbe": {"tcpSocket": {"port": 1}}}]
        },
    }


@pytest.mark.parametrize(
    ("pod", "what"),
    [
        ({"spec": []}, "spec: expected a mapping"),
        (
            {
                **PODS["smallest"],
                "metadata": {"annotations": {"sidecar.mesh/status": "injected"}},
            },
            "annotation sidecar.mesh/status: not JSON",
        ),
    ],
)
def test_what_cannot_be_undone_is_refused(pod: dict[str, Any], what: str) -> None:
    result = uninject(pod)
    assert isinstance(result, Refused)
    assert what in result.message
