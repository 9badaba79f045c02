"""Reviews as an API server sends them, and its view of what comes back."""

from __future__ import annotations

import base64
import json
from typing import Any

import jsonpatch

UID = "705ab4f5-6393-11e8-b7cc-42010a800002"


def pod(**metadata: Any) -> dict[str, Any]:
    """A pod as it comes to an API server."""
    container = {"name": "web", "image": "web:1", "ports": [{"containerPort": 8080}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "web-5d4f-", **metadata},
        "spec": {"containers": [container]},
    }


def review(subject: Any = None, **changes: Any) -> dict[str, Any]:
    """A review of a pod that is created."""
    request = {
        "uid": UID,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "requestResource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset"},
        "object": pod() if subject is None else subject,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    return {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {**request, **changes},
    }


def body(subject: Any = None, **changes: Any) -> bytes:
    return json.dumps(review(subject, **changes)).encode()


def response(answered: bytes | str) -> dict[str, Any]:
    """What an API server makes of an answer: it insists on kind, version and UID."""
    value = json.loads(answered)
    assert value.keys() == {"apiVersion", "kind", "response"}
    assert value["kind"] == "AdmissionReview"
    assert value["apiVersion"] == "admission.k8s.io/v1"
    given: dict[str, Any] = value["response"]
    assert isinstance(given["allowed"], bool)
    # A patch without its type is refused, and so is one of something not allowed.
    assert ("patch" in given) == ("patchType" in given)
    assert given["allowed"] or "patch" not in given
    return given


def patched(subject: dict[str, Any], answered: bytes | str) -> dict[str, Any]:
    """The pod that an API server goes on with."""
    given = response(answered)
    assert given["allowed"], given
    assert given["uid"] == UID
    assert given["patchType"] == "JSONPatch"
    operations = json.loads(base64.b64decode(given["patch"], validate=True))
    result: dict[str, Any] = jsonpatch.apply_patch(subject, operations)
    return result
