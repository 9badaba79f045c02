from __future__ import annotations

from typing import Any

import pytest

from sidecar.injector.operations import pointer
from sidecar.injector.workloads import namespaces_of, workloads_of

POD: dict[str, Any] = {"spec": {"containers": []}}


def of(version: str, kind: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "shop"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("document", "where"),
    [
        (of("v1", "Pod", containers=[]), ""),
        ({"apiVersion": "v1", "kind": "PodTemplate", "template": POD}, "/template"),
        (of("v1", "ReplicationController", template=POD), "/spec/template"),
        (of("apps/v1", "Deployment", template=POD), "/spec/template"),
        (of("extensions/v1beta1", "Deployment", template=POD), "/spec/template"),
        (of("apps/v1", "StatefulSet", template=POD), "/spec/template"),
        (of("apps/v1", "DaemonSet", template=POD), "/spec/template"),
        (of("apps/v1", "ReplicaSet", template=POD), "/spec/template"),
        (of("batch/v1", "Job", template=POD), "/spec/template"),
        (
            of("batch/v1", "CronJob", jobTemplate={"spec": {"template": POD}}),
            "/spec/jobTemplate/spec/template",
        ),
        (
            {
                "kind": "DeploymentList",
                "items": [1, of("apps/v1", "Deployment", template=POD)],
            },
            "/items/1/spec/template",
        ),
    ],
)
def test_a_workload_is_found_where_its_pods_are_made_from(
    document: dict[str, Any], where: str
) -> None:
    (workload,) = workloads_of(document)
    assert workload.known
    assert pointer(workload.way) == where
    assert workload.pod.get("spec", workload.pod) is not None


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {},
        {"kind": ["Pod"]},
        of("v1", "Service"),
        of("example.org/v1", "Pod"),
        {"kind": "Config", "items": [of("v1", "Pod")]},
        {"kind": "List", "items": {}},
    ],
)
def test_everything_else_is_passed_over(document: Any) -> None:
    assert [*workloads_of(document)] == []


def test_what_only_looks_like_a_workload_is_told_apart() -> None:
    (workload,) = workloads_of(of("argoproj.io/v1alpha1", "Rollout", template=POD))
    assert (workload.known, str(workload)) == (False, "Rollout shop/web")


def test_a_workload_that_lacks_its_pods_is_one_all_the_same() -> None:
    (workload,) = workloads_of({"apiVersion": "apps/v1", "kind": "Deployment"})
    assert workload.pod is None
    assert str(workload) == "Deployment default/(no name)"


def test_namespaces_are_found_in_lists_too() -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    other = of("v1", "Service")
    assert [*namespaces_of({"kind": "List", "items": [namespace, other, 1]})] == [
        ("shop", {"name": "shop"})
    ]
