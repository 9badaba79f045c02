"""Pods of any shape that injection has to do with."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

_NAMES = st.sampled_from(["web", "api", "db", "cache", "worker-1"])
_PORTS = st.sampled_from([80, 8080, 9000, "http"])
_TEXTS = st.sampled_from(
    ["", "x", "true", "8080", "a: b", "it's", "/é?q=1", "#no", "web"]
)
_HANDLERS = st.one_of(
    st.fixed_dictionaries(
        {
            "httpGet": st.fixed_dictionaries(
                {"port": _PORTS}, optional={"path": _TEXTS, "scheme": st.just("HTTPS")}
            )
        }
    ),
    st.fixed_dictionaries({"tcpSocket": st.fixed_dictionaries({"port": _PORTS})}),
    st.fixed_dictionaries({"grpc": st.just({"port": 9000})}),
    st.just({"exec": {"command": ["true"]}}),
)
_PROBES = st.tuples(
    _HANDLERS, st.dictionaries(st.just("timeoutSeconds"), st.integers(1, 9))
).map(lambda each: {**each[1], **each[0]})
_PROBES_TOO = st.tuples(_HANDLERS, st.just({"periodSeconds": 3})).map(
    lambda each: {**each[0], **each[1]}
)


def _container(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"name": st.just(name)},
        optional={
            "image": _TEXTS,
            "livenessProbe": _PROBES,
            "readinessProbe": _PROBES_TOO,
            "env": st.sampled_from([None, [], [{"name": "A", "value": "b"}]]),
            "lifecycle": st.fixed_dictionaries({"preStop": _HANDLERS}),
        },
    ).map(lambda each: {**each, "ports": [{"name": "http", "containerPort": 80}]})


def _containers(least: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(_NAMES, unique=True, min_size=least, max_size=2).flatmap(
        lambda names: st.tuples(*map(_container, names)).map(list)
    )


_MAPPINGS = st.none() | st.dictionaries(st.sampled_from(["app", "b.c/d"]), _TEXTS)
_VOLUMES = st.none() | st.lists(st.just({"name": "data", "emptyDir": {}}), max_size=1)

PODS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "spec": st.fixed_dictionaries(
            {"containers": _containers(1)},
            optional={
                "initContainers": st.none()
                | _containers(0).map(
                    lambda found: [
                        {**each, "name": f"i{at}"} for at, each in enumerate(found)
                    ]
                ),
                "volumes": _VOLUMES,
                "imagePullSecrets": st.sampled_from([None, [], [{"name": "a"}]]),
                "restartPolicy": st.just("Always"),
            },
        )
    },
    optional={
        "metadata": st.none()
        | st.fixed_dictionaries(
            {}, optional={"labels": _MAPPINGS, "annotations": _MAPPINGS}
        ),
    },
)


def _objects(pod: dict[str, Any]) -> list[dict[str, Any]]:
    whole = {"apiVersion": "v1", "kind": "Pod", **pod}
    template = {"template": pod, "replicas": 2}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": template}
    return [whole, deployment, {"apiVersion": "v1", "kind": "List", "items": [whole]}]


OBJECTS = PODS.flatmap(lambda pod: st.sampled_from(_objects(pod)))
