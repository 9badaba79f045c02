from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from sidecar.injector.eligible import conflicts, has_it, why_not
from sidecar.injector.model import InjectionContext, InjectionSettings, NativeSidecar
from sidecar.injector.pod import Pod, read_pod

SETTINGS = InjectionSettings("example/sidecar:1")
NATIVE = evolve(SETTINGS, native_sidecar=NativeSidecar.ALWAYS)
LABELLED = InjectionContext(namespace_labels={"sidecar.mesh/inject": "enabled"})


def pod(metadata: dict[str, Any] | None = None, **spec: Any) -> Pod:
    spec = {"containers": [{"name": "web"}], **spec}
    return read_pod({"metadata": metadata, "spec": spec})


def inject(text: str, where: str = "labels") -> Pod:
    return pod({where: {"sidecar.mesh/inject": text}})


@pytest.mark.parametrize(
    ("who", "context"),
    [
        (pod(), LABELLED),
        (pod(), InjectionContext(namespace_labels={"sidecar.mesh/inject": "true"})),
        (pod(), InjectionContext(enabled=True)),
        (inject("enabled"), InjectionContext()),
        (inject("true", "annotations"), InjectionContext()),
        (
            inject("enabled"),
            InjectionContext(namespace_labels={"sidecar.mesh/inject": "disabled"}),
        ),
        (pod(os={"name": "linux"}), LABELLED),
        (pod({"annotations": {"kubernetes.io/config.source": "api"}}), LABELLED),
    ],
)
def test_a_pod_gets_the_sidecar(who: Pod, context: InjectionContext) -> None:
    assert why_not(who, context) is None


def on(*terms: Any) -> dict[str, Any]:
    """Give an affinity to nodes of these systems, each a term of its own."""
    selector = [
        each
        if isinstance(each, int)
        else {
            "matchExpressions": [
                {"key": "x", "operator": "Exists"},
                {"key": "kubernetes.io/os", "operator": "In", "values": each},
            ]
        }
        for each in terms
    ]
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"nodeAffinity": {required: {"nodeSelectorTerms": selector}}}


@pytest.mark.parametrize(
    ("who", "context", "reason"),
    [
        (pod(), InjectionContext(), "neither it nor its namespace says"),
        (inject("disabled"), LABELLED, "the label of the pod says"),
        (inject("false", "annotations"), LABELLED, "the annotation of the pod says"),
        (
            pod(),
            InjectionContext("shop", {"sidecar.mesh/inject": "disabled"}, enabled=True),
            "the label of the namespace shop says sidecar.mesh/inject: disabled",
        ),
        (pod(hostNetwork=True), LABELLED, "the network of its node"),
        (
            pod({"annotations": {"kubernetes.io/config.mirror": "0a"}}),
            LABELLED,
            "static pod",
        ),
        (
            pod({"annotations": {"kubernetes.io/config.source": "file"}}),
            LABELLED,
            "static pod",
        ),
        (pod(os={"name": "windows"}), LABELLED, "Windows"),
        (pod(nodeSelector={"kubernetes.io/os": "windows"}), LABELLED, "Windows"),
        (pod(affinity=on(["windows"])), LABELLED, "Windows"),
        (pod(affinity=on(["windows"], ["windows"])), LABELLED, "Windows"),
        (
            pod(),
            evolve(LABELLED, namespace="kube-system"),
            "kube-system is of Kubernetes itself",
        ),
    ],
)
def test_a_pod_is_left_alone(who: Pod, context: InjectionContext, reason: str) -> None:
    assert reason in str(why_not(who, context))


@pytest.mark.parametrize(
    ("who", "context", "what"),
    [
        (inject("yes please"), LABELLED, "the label of the pod, sidecar.mesh/inject: "),
        (
            pod(),
            InjectionContext(namespace_labels={"sidecar.mesh/inject": "enable"}),
            "the label of the namespace default, sidecar.mesh/inject: expected"
            " 'enabled' or 'disabled' (or 'true', 'false'), got 'enable'"
            " (did you mean 'enabled'?)",
        ),
    ],
)
def test_a_word_for_neither_is_refused(
    who: Pod, context: InjectionContext, what: str
) -> None:
    with pytest.raises(ValueError, match="expected 'enabled' or 'disabled'") as error:
        why_not(who, context)
    assert str(error.value).startswith(what)


@pytest.mark.parametrize(
    "affinity",
    [
        on(),
        on(["linux"]),
        on(["windows", "linux"]),
        on(["windows"], ["linux"]),
        {"nodeAffinity": {}},
        {**on(["windows"]), "nodeAffinity": {"x": 1}},
        on(["windows"], 1),
    ],
)
def test_a_pod_that_may_run_elsewhere_is_not_one_for_windows(affinity: Any) -> None:
    assert why_not(pod(affinity=affinity), LABELLED) is None


def test_a_copy_has_it_by_what_its_sidecar_mounts() -> None:
    mounts = {"name": "sidecar", "volumeMounts": [{"name": "sidecar-config"}]}
    volume: dict[str, Any] = {"volumes": [{"name": "sidecar-config"}]}
    assert has_it(pod(initContainers=[mounts], **volume))
    assert not has_it(pod(initContainers=[mounts]))
    assert not has_it(pod(initContainers=[{"name": "sidecar"}], **volume))
    assert not has_it(pod(initContainers=[{**mounts, "name": "web2"}], **volume))


def test_a_pod_has_it_that_says_so_and_looks_like_it() -> None:
    says = {"annotations": {"sidecar.mesh/status": "{}"}}
    assert not has_it(pod(says))
    assert not has_it(pod(initContainers=[{"name": "sidecar"}]))
    assert has_it(pod(says, initContainers=[{"name": "sidecar"}]))


ROOT = {"securityContext": {"runAsUser": 0}}
PROXY = {"securityContext": {"runAsUser": 1337}}


@pytest.mark.parametrize(
    "who",
    [
        pod(),
        pod(**ROOT),
        pod(containers=[{"name": "web", **ROOT}], **PROXY),
        pod(initContainers=[{"name": "fetch", **PROXY}]),
        pod({"labels": {"sidecar.mesh/injected": "true"}}),
        pod(securityContext={"fsGroup": 1337}),
        pod(
            containers=[
                {"name": "a", "ports": [{"containerPort": 15020, "protocol": "UDP"}]}
            ]
        ),
    ],
)
def test_nothing_keeps_a_pod_from_it(who: Pod) -> None:
    assert [*conflicts(who, SETTINGS)] == []


@pytest.mark.parametrize(
    ("who", "starts"),
    [
        (pod(**PROXY), ["spec.containers[web]: runAsUser 1337 is the sidecar's"]),
        (
            pod(
                containers=[
                    {"name": "a", "securityContext": {"runAsGroup": 1337}},
                    {"name": "b", **PROXY},
                ],
                **ROOT,
            ),
            [
                "spec.containers[a]: runAsGroup 1337 is the sidecar's",
                "spec.containers[b]: runAsUser 1337 is the sidecar's",
            ],
        ),
        (
            pod(initContainers=[{"name": "db", "restartPolicy": "Always", **PROXY}]),
            ["spec.initContainers[db]: runAsUser 1337 is the sidecar's"],
        ),
        (
            pod(containers=[{"name": "sidecar"}, {"name": "sidecar-init"}]),
            [
                "spec.containers[sidecar]: the sidecar's own container has this name",
                "spec.containers[sidecar-init]: the sidecar's own container has this",
            ],
        ),
        (
            pod(volumes=[{"name": "data"}, {"name": "sidecar-config"}]),
            ["spec.volumes[sidecar-config]: a volume of the sidecar has this name"],
        ),
        (
            pod(containers=[{"name": "web", "ports": [{"containerPort": 15006}]}]),
            [
                "spec.containers[web].ports: the sidecar listens on 15006 in the same pod"
            ],
        ),
        (
            pod({"annotations": {"sidecar.mesh/status": "{}"}}),
            ["annotation sidecar.mesh/status: it says that the sidecar is there"],
        ),
        (
            pod({"labels": {"sidecar.mesh/injected": "false"}}),
            ["label sidecar.mesh/injected: it is set by injection: remove it"],
        ),
    ],
)
def test_a_conflict_is_said_with_its_remedy(who: Pod, starts: list[str]) -> None:
    found = [*conflicts(who, SETTINGS)]
    assert [each[: len(start)] for each, start in zip(found, starts, strict=True)] == (
        starts
    )


def test_with_a_native_sidecar_no_init_container_passes_it_by_either() -> None:
    who = pod(initContainers=[{"name": "fetch", **PROXY}])
    (problem,) = conflicts(who, NATIVE)
    assert problem.startswith("spec.initContainers[fetch]: runAsUser 1337")


def test_the_user_that_counts_is_that_of_the_settings() -> None:
    settings = evolve(SETTINGS, proxy_uid=2000)
    assert [*conflicts(pod(**PROXY), settings)] == []
    assert [*conflicts(pod(securityContext={"runAsUser": 2000}), settings)]
