from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from sidecar.config.app_probes import VARIABLE, HttpProbe, TcpProbe, parse_app_probes
from sidecar.injector.model import InjectionSettings, Patched, Refused, Skipped
from sidecar.injector.operations import applied
from sidecar.injector.patch import inject
from sidecar.injector.restore import uninject
from tests.injector import strategies
from tests.injector.pods import CASES, CONTEXT, FULL, NATIVE, PODS, SETTINGS

LATE: dict[str, Any] = {
    "name": "late",
    "image": "late",
    "ports": [{"name": "web", "containerPort": 9090}],
    "livenessProbe": {"httpGet": {"path": "/ok", "port": "web"}, "timeoutSeconds": 4},
    "lifecycle": {"preStop": {"httpGet": {"path": "/bye", "port": 9090}}},
}
STATUS = "sidecar.mesh/status"


def result(pod: dict[str, Any], settings: InjectionSettings = SETTINGS) -> Patched:
    found = inject(pod, CONTEXT, settings)
    assert isinstance(found, Patched), found
    return found


def injected(pod: dict[str, Any], settings: InjectionSettings = SETTINGS) -> Any:
    return applied(pod, result(pod, settings).operations)


def with_late(
    pod: dict[str, Any], inside: str = "containers", at: int = 99, late: Any = None
) -> Any:
    pod = copy.deepcopy(pod)
    if pod["spec"].get(inside) is None:
        pod["spec"][inside] = []
    pod["spec"][inside].insert(at, copy.deepcopy({**LATE, **(late or {})}))
    return pod


def problems(pod: dict[str, Any], settings: InjectionSettings = SETTINGS) -> list[str]:
    found = inject(pod, CONTEXT, settings)
    assert isinstance(found, Refused), found
    return [*found.problems]


def sidecar_of(pod: dict[str, Any]) -> Any:
    spec = pod["spec"]
    every = [*spec["containers"], *(spec.get("initContainers") or [])]
    (found,) = [each for each in every if each["name"] == "sidecar"]
    return found


def asked(pod: dict[str, Any]) -> Any:
    (text,) = [
        each["value"]
        for each in sidecar_of(pod).get("env", [])
        if each["name"] == VARIABLE
    ]
    return parse_app_probes(text)


@pytest.mark.parametrize("settings", [SETTINGS, NATIVE, FULL])
@pytest.mark.parametrize("name", ["smallest", "probes"])
def test_a_container_that_came_later_asks_through_the_sidecar(
    name: str, settings: InjectionSettings
) -> None:
    before = with_late(injected(PODS[name], settings))
    again = injected(before, settings)
    late = again["spec"]["containers"][-1]
    assert late["livenessProbe"] == {
        "timeoutSeconds": 4,
        "httpGet": {"path": "/app-health/late/livez", "port": 15020, "scheme": "HTTP"},
    }
    assert (
        late["lifecycle"]["preStop"]["httpGet"]["path"] == "/app-health/late/prestopz"
    )
    probe = asked(again)["/app-health/late/livez"]
    assert (probe.handler, probe.timeout_seconds) == (HttpProbe(9090, "/ok"), 4)
    if name == "probes":
        assert asked(again).keys() > asked(before).keys()
    assert inject(again, CONTEXT, settings) == Skipped("it has the sidecar already")


@given(
    strategies.PODS,
    st.sampled_from([SETTINGS, NATIVE, FULL]),
    st.sampled_from(["containers", "initContainers"]),
    st.integers(0, 4),
)
def test_what_comes_out_is_as_if_it_had_been_there_and_can_be_undone(
    pod: dict[str, Any], settings: InjectionSettings, inside: str, at: int
) -> None:
    before = injected(pod, settings)
    changed = with_late(before, inside, at)
    there = {each["name"]: each for each in [*(pod["spec"].get(inside) or []), LATE]}
    everything = copy.deepcopy(pod)
    everything["spec"][inside] = [
        there[each["name"]] for each in changed["spec"][inside] if each["name"] in there
    ]
    again = injected(changed, settings)
    assert again["spec"] == injected(everything, settings)["spec"]
    assert inject(again, CONTEXT, settings) == Skipped("it has the sidecar already")
    back = uninject(again)
    assert isinstance(back, Patched)
    assert back.notes == ()
    restored = applied(again, back.operations)
    assert restored["spec"] == everything["spec"]
    assert restored.get("metadata") == pod.get("metadata")


@pytest.mark.parametrize("name", ["smallest", "probes", "probes-native", "job-native"])
def test_another_library_applies_it(name: str) -> None:
    pod, settings = CASES[name]
    for inside in ("containers", "initContainers"):
        before = with_late(injected(pod, settings), inside, 0)
        operations = [dict(each) for each in result(before, settings).operations]
        patch = jsonpatch.JsonPatch(operations)
        assert patch.apply(before) == injected(before, settings)


def names(pod: dict[str, Any], inside: str) -> list[str]:
    return [each["name"] for each in pod["spec"][inside]]


def test_what_came_before_a_native_sidecar_goes_behind_it() -> None:
    before = with_late(injected(PODS["probes"], NATIVE), "initContainers", 0)
    after = injected(before, NATIVE)
    assert names(after, "initContainers") == [
        "sidecar-init",
        "sidecar",
        "late",
        "migrate",
        "cache",
    ]


def test_the_rules_come_after_an_init_container_that_came_later() -> None:
    """Behind them it would have no network: nobody carries what it sends."""
    after = injected(with_late(injected(PODS["probes"]), "initContainers"))
    assert names(after, "initContainers") == [
        "migrate",
        "cache",
        "late",
        "sidecar-init",
    ]
    assert names(after, "containers") == ["sidecar", "web", "worker"]


def test_the_sidecar_is_the_first_container_again() -> None:
    after = injected(with_late(injected(PODS["smallest"]), at=0))
    assert names(after, "containers") == ["sidecar", "late", "web"]


@pytest.mark.parametrize("settings", [SETTINGS, NATIVE])
def test_what_would_pass_by_it_is_refused(settings: InjectionSettings) -> None:
    before = injected(PODS["smallest"], settings)
    late = {
        "securityContext": {"runAsUser": 1337},
        "ports": [{"containerPort": 15006}],
        "livenessProbe": None,
    }
    found = problems(with_late(before, late=late), settings)
    assert len(found) == 2
    assert "spec.containers[late].ports: the sidecar listens on 15006" in found[0]
    assert "spec.containers[late]: runAsUser 1337 is the sidecar's" in found[1]


@pytest.mark.parametrize(("settings", "refused"), [(SETTINGS, False), (NATIVE, True)])
def test_an_init_container_counts_where_it_runs_after_the_sidecar(
    settings: InjectionSettings, *, refused: bool
) -> None:
    before = injected(PODS["smallest"], settings)
    user = {"securityContext": {"runAsUser": 1337}}
    late = with_late(before, "initContainers", late=user)
    assert isinstance(inject(late, CONTEXT, settings), Refused) is refused


def test_the_user_is_that_of_the_sidecar_that_is_there() -> None:
    other = evolve(NATIVE, proxy_uid=5000, proxy_gid=5001)
    before = injected(PODS["smallest"], other)

    def late(**security: int) -> Any:
        return with_late(before, late={"securityContext": security})

    assert problems(late(runAsUser=5000), NATIVE)
    assert problems(late(runAsGroup=5001), NATIVE)
    assert injected(late(runAsUser=1337), NATIVE)
    del sidecar_of(before)["securityContext"]
    assert problems(late(runAsUser=1337), NATIVE)


def test_a_port_that_no_container_names_is_refused() -> None:
    probe = {"tcpSocket": {"port": "nowhere"}}
    late = with_late(injected(PODS["smallest"]), late={"livenessProbe": probe})
    (problem,) = problems(late)
    assert "spec.containers[late].livenessProbe.tcpSocket.port: no port" in problem


def test_a_probe_that_somebody_has_put_back_is_turned_again() -> None:
    before = injected(PODS["probes"])
    (web,) = [each for each in before["spec"]["containers"] if each["name"] == "web"]
    web["livenessProbe"] = {"tcpSocket": {"port": 8080}}
    after = injected(before)
    assert asked(after)["/app-health/web/livez"].handler == TcpProbe(8080)
    assert asked(after).keys() == asked(before).keys()
    status = json.loads(after["metadata"]["annotations"][STATUS])
    handler = status["handlers"]["containers/web/livenessProbe"]
    assert handler == {"tcpSocket": {"port": 8080}}


def test_the_text_of_a_handler_that_is_another_now_is_forgotten() -> None:
    before = injected(PODS["probes"])
    annotations = before["metadata"]["annotations"]
    status = json.loads(annotations[STATUS])
    keys = ["containers/web/livenessProbe", "containers/web/readinessProbe"]
    status["source"] = dict.fromkeys(keys, "x")
    annotations[STATUS] = json.dumps(status)
    before["spec"]["containers"][1]["livenessProbe"] = {"tcpSocket": {"port": 8080}}
    after = json.loads(injected(before)["metadata"]["annotations"][STATUS])
    assert after["source"] == {keys[1]: "x"}


def test_probes_stay_where_that_is_said() -> None:
    pod = {**PODS["smallest"]}
    pod["metadata"] = {"annotations": {"sidecar.mesh/rewrite-probes": "disabled"}}
    late = with_late(injected(pod))
    assert inject(late, CONTEXT, SETTINGS) == Skipped("it has the sidecar already")


def test_what_does_not_fit_a_variable_is_refused() -> None:
    late = with_late(injected(PODS["probes"]))
    long = late["spec"]["containers"][-1]["livenessProbe"]["httpGet"]
    long["httpHeaders"] = [{"name": "X", "value": "x" * 131_000}]
    (problem,) = problems(late)
    assert problem.startswith(
        "SIDECAR_APP_PROBES: a process takes a variable of 131000"
    )


def test_what_does_not_fit_the_annotations_is_refused() -> None:
    late = with_late(injected(PODS["probes"]))
    annotations = late["metadata"]["annotations"]
    size = sum(len(f"{name}{text}".encode()) for name, text in annotations.items())
    annotations["notes"] = "x" * (262_100 - size)
    (problem,) = problems(late)
    assert problem.startswith("metadata.annotations: Kubernetes takes 262144 bytes")


@pytest.mark.parametrize(
    ("status", "what"),
    [
        ("injected", "not JSON"),
        ('{"format": 2}', "expected format 1"),
        ('{"format": 1}', "it says that the sidecar is there, which it is not"),
        ('{"format": 1, "initContainers": ["sidecar"]}', "which it is not"),
    ],
)
def test_a_status_that_injection_did_not_write_is_no_way_past_it(
    status: str, what: str
) -> None:
    pod = injected(PODS["smallest"])
    pod["metadata"]["annotations"][STATUS] = status
    (problem,) = problems(pod)
    assert problem.startswith(f"annotation {STATUS}: ")
    assert what in problem
    assert problem.endswith("remove what injection has added, and it is injected anew")


@pytest.mark.parametrize(
    ("variable", "what"),
    [
        ({"value": "{"}, "not JSON"),
        ({"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, "is no text"),
    ],
)
def test_a_variable_that_nobody_can_read_is_said(
    variable: dict[str, Any], what: str
) -> None:
    pod = injected(PODS["probes"])
    others = [{"name": "A"}, 1]
    sidecar_of(pod)["env"] = [*others, {"name": VARIABLE, **variable}]
    (problem,) = problems(with_late(pod))
    assert what in problem


def test_a_wrong_annotation_is_said_of_an_injected_pod_too() -> None:
    pod = injected(PODS["smallest"])
    pod["metadata"]["annotations"]["sidecar.mesh/rewrite-probe"] = "disabled"
    (problem,) = problems(with_late(pod))
    assert "unknown (did you mean" in problem


def test_a_container_of_ours_that_injection_did_not_add_is_refused() -> None:
    without = evolve(NATIVE, redirect=evolve(NATIVE.redirect, enabled=False))
    pod = injected(PODS["smallest"], without)
    pod["spec"]["initContainers"].append({"name": "sidecar-init"})
    (problem,) = problems(pod, without)
    assert "spec.initContainers[sidecar-init]: the sidecar's own" in problem


def test_with_tproxy_the_sidecar_is_root_and_others_may_be() -> None:
    pod = injected(PODS["tproxy"], NATIVE)
    assert sidecar_of(pod)["securityContext"]["runAsUser"] == 0
    late = with_late(pod, late={"securityContext": {"runAsUser": 0}})
    assert sidecar_of(injected(late, NATIVE))["securityContext"]["runAsUser"] == 0
    late = with_late(pod, late={"securityContext": {"runAsGroup": 1337}})
    (problem,) = problems(late, NATIVE)
    assert "runAsGroup 1337 is the sidecar's" in problem
    late = with_late(pod, late={"securityContext": {"runAsUser": 1337}})
    (problem,) = problems(late, NATIVE)
    assert "runAsUser 1337 is the sidecar's" in problem


def copied(pod: dict[str, Any]) -> Any:
    """Give what `kubectl debug --copy-to` makes of a pod: no labels, no annotations."""
    spec = copy.deepcopy(pod["spec"])
    for each in spec["containers"]:
        for probe in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
            each.pop(probe, None)
    spec["containers"].append({**LATE, "name": "debugger"})
    return {"spec": spec}


@pytest.mark.parametrize(
    "name", ["smallest", "smallest-native", "probes", "probes-native"]
)
def test_a_copy_of_an_injected_pod_has_the_sidecar_that_it_has(name: str) -> None:
    pod, settings = CASES[name]
    before = copied(injected(pod, settings))
    after = injected(before, settings)
    assert names(after, "containers") == names(before, "containers")
    assert after["spec"]["volumes"] == before["spec"]["volumes"]
    assert after["metadata"]["labels"] == {"sidecar.mesh/injected": "true"}
    assert "/app-health/debugger/livez" in asked(after)
    assert inject(after, CONTEXT, settings) == Skipped("it has the sidecar already")
    back = uninject(after)
    assert isinstance(back, Patched)
    restored = applied(after, back.operations)
    assert "metadata" not in restored
    assert restored["spec"].keys() == pod["spec"].keys()
    left = [each["name"] for each in pod["spec"]["containers"]]
    assert names(restored, "containers") == [*left, "debugger"]


def test_a_copy_that_lacks_nothing_says_what_it_has_and_keeps_its_own_labels() -> None:
    pod = injected(PODS["smallest"], NATIVE)
    del pod["metadata"]["annotations"]
    after = injected(pod, NATIVE)
    assert after["spec"] == pod["spec"]
    assert after["metadata"]["labels"] == pod["metadata"]["labels"]
    status = json.loads(after["metadata"]["annotations"][STATUS])
    assert status["initContainers"] == ["sidecar-init", "sidecar"]
    assert "labels" not in status
