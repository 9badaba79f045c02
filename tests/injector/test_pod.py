from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.injector.pod import PodError, read_pod

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "metadata",
                    "spec",
                    "containers",
                    "name",
                    "labels",
                    "ports",
                    "livenessProbe",
                ]
            ),
            each,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def test_a_pod_is_read() -> None:
    pod = read_pod(
        {
            "metadata": {"labels": {"a": "b"}, "annotations": None},
            "spec": {
                "containers": [{"name": "web", "ports": [{"containerPort": 80}, 1]}],
                "initContainers": [
                    {"name": "wait"},
                    {"name": "db", "restartPolicy": "Always"},
                ],
                "volumes": [{"name": "data"}, {}],
            },
        }
    )
    assert (pod.labels, pod.annotations) == ({"a": "b"}, {})
    assert [(each.place, each.lives_on) for each in pod.containers] == [
        ("spec.containers[web]", True),
        ("spec.initContainers[wait]", False),
        ("spec.initContainers[db]", True),
    ]
    assert [each.name for each in pod.of("initContainers")] == ["wait", "db"]
    assert pod.containers[0].ports == [{"containerPort": 80}]
    assert pod.containers[0].section("livenessProbe") == {}
    assert pod.volumes == ["data"]


@pytest.mark.parametrize(
    ("pod", "problems"),
    [
        ({}, ["spec.containers: expected at least one container"]),
        (None, ["expected a pod, or the template of one, got nothing"]),
        (
            {"metadata": {"labels": {1: "a"}}, "spec": {"containers": [{"name": "a"}]}},
            ["metadata.labels[1]: expected text, got 1 (put it in quotes)"],
        ),
        (
            {"spec": [], "metadata": 1},
            [
                "metadata: expected a mapping, got 1",
                "spec: expected a mapping, got a list",
            ],
        ),
        (
            {"spec": {"containers": {}, "volumes": "x", "securityContext": 1}},
            [
                "spec.securityContext: expected a mapping, got 1",
                "spec.volumes: expected a list, got 'x'",
                "spec.containers: expected a list, got a mapping",
            ],
        ),
        (
            {
                "spec": {
                    "containers": [
                        1,
                        {},
                        {"name": "a", "ports": 1, "livenessProbe": []},
                        {"name": "a"},
                    ]
                },
                "metadata": {"labels": {"x": 1}, "annotations": {"y": True}},
            },
            [
                "spec.containers[0]: expected a mapping, got 1",
                "spec.containers[1].name: expected a name of its own, got nothing",
                "spec.containers[2].livenessProbe: expected a mapping, got a list",
                "spec.containers[2].ports: expected a list, got 1",
                "spec.containers[3].name: expected a name of its own, got 'a'",
                "metadata.labels[x]: expected text, got 1 (put it in quotes)",
                "metadata.annotations[y]: expected text, got true (put it in quotes)",
            ],
        ),
    ],
)
def test_all_that_is_no_pod_is_said_at_once(
    pod: dict[str, Any] | None, problems: list[str]
) -> None:
    with pytest.raises(PodError) as error:
        read_pod(pod)
    assert list(error.value.problems) == problems
    assert str(error.value) == "; ".join(problems)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "x"]), JSON))
def test_anything_is_a_pod_or_refused(value: dict[str, Any]) -> None:
    with contextlib.suppress(PodError):
        assert read_pod(value).containers
