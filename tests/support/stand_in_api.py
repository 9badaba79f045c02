"""How the API server of `tests.support.stand_in_cluster` speaks: HTTP, JSON, watches."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.support.kubernetes_protobuf import config_map

if TYPE_CHECKING:
    from tests.support.stand_in_cluster import StandInCluster

Object = dict[str, Any]

RESOURCES = {
    "v1": [
        ("namespaces", "Namespace", False),
        *((kind.lower() + "s", kind, True) for kind in ("ConfigMap", "Event", "Pod")),
        *((kind.lower() + "s", kind, True) for kind in ("Secret", "Service")),
        ("serviceaccounts", "ServiceAccount", True),
    ],
    "apps/v1": [
        ("deployments", "Deployment", True),
        ("replicasets", "ReplicaSet", True),
    ],
    "batch/v1": [("jobs", "Job", True), ("cronjobs", "CronJob", True)],
    "policy/v1": [("poddisruptionbudgets", "PodDisruptionBudget", True)],
    "networking.k8s.io/v1": [("networkpolicies", "NetworkPolicy", True)],
    "rbac.authorization.k8s.io/v1": [
        ("roles", "Role", True),
        ("rolebindings", "RoleBinding", True),
        ("clusterroles", "ClusterRole", False),
        ("clusterrolebindings", "ClusterRoleBinding", False),
    ],
    "admissionregistration.k8s.io/v1": [
        ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False)
    ],
}
OPENAPI = {f"apis/{each}" if "/" in each else f"api/{each}": each for each in RESOURCES}
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]

_PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+/[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]))?"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+))?(?P<log>/log)?"
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: StandInCluster

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if (found := discovery(parts.path)) is not None:
            self._answer(200, found)
            return
        where = _PATH.fullmatch(parts.path)
        if where is None:
            self._refuse(404, "NotFound", f"{parts.path} not found")
            return
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        collection = self._collection(where)
        if where["log"]:
            self._text(self.cluster.logs[where["name"].removesuffix("-x")])
        elif where["name"]:
            item = self.cluster.objects.get(collection, {}).get(where["name"])
            if item is None:
                self._missing(where)
            else:
                self._answer(200, item)
        elif "sendInitialEvents" in query:
            # As an API server that does not have these; then its client lists first.
            self._refuse(422, "Invalid", "sendInitialEvents is forbidden")
        elif query.get("watch") in {"true", "1"}:
            self._watch(collection, query)
        else:
            self._list(collection, where, query)

    def do_POST(self) -> None:
        where, item = self._asked()
        collection = self._collection(where)
        if where["namespace"] and not self._has_namespace(where["namespace"]):
            self._refuse(
                404, "NotFound", f'namespaces "{where["namespace"]}" not found'
            )
        elif item["metadata"]["name"] in self.cluster.objects.get(collection, {}):
            self._refuse(
                409, "AlreadyExists", f"{item['metadata']['name']} already exists"
            )
        else:
            self._answer(201, self._create(collection, where, item))

    def do_PATCH(self) -> None:
        where, change = self._asked()
        collection = self._collection(where)
        found = self.cluster.objects.get(collection, {}).get(where["name"])
        if where["namespace"] and not self._has_namespace(where["namespace"]):
            self._refuse(
                404, "NotFound", f'namespaces "{where["namespace"]}" not found'
            )
        elif found is not None:
            merge(found, change)
            self._answer(200, self.cluster.put(collection, found))
        elif "apply" in self.headers["Content-Type"]:
            self._answer(201, self._create(collection, where, change))
        else:
            self._missing(where)

    def do_PUT(self) -> None:
        where, item = self._asked()
        self._answer(200, self.cluster.put(self._collection(where), item))

    def do_DELETE(self) -> None:
        where, _ = self._asked()
        collection = self._collection(where)
        item = self.cluster.objects.get(collection, {}).get(where["name"])
        if item is None:
            self._missing(where)
        else:
            self._answer(200, self.cluster.put(collection, item, "DELETED"))

    def _asked(self) -> tuple[re.Match[str], Object]:
        where = _PATH.fullmatch(urlsplit(self.path).path)
        assert where is not None, self.path
        data = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if (
            "protobuf" in (self.headers["Content-Type"] or "")
            and data[:4] == b"k8s\x00"
        ):
            return where, config_map(data) if where["resource"] == "configmaps" else {}
        return where, yaml.safe_load(data) or {}

    def _create(self, collection: str, where: re.Match[str], item: Object) -> Object:
        if where["namespace"]:
            item["metadata"]["namespace"] = where["namespace"]
        created: Object = json.loads(
            json.dumps(self.cluster.put(collection, item, "ADDED"))
        )
        if where["resource"] == "jobs":
            run = (collection, item)
            threading.Thread(target=self.cluster.run_job, args=run, daemon=True).start()
        return created

    def _has_namespace(self, name: str) -> bool:
        return name in self.cluster.objects["/api/v1/namespaces"]

    @staticmethod
    def _collection(where: re.Match[str]) -> str:
        start = "/api/v1" if where["core"] else f"/apis/{where['group']}"
        space = f"/namespaces/{where['namespace']}" if where["namespace"] else ""
        return f"{start}{space}/{where['resource']}"

    def _list(
        self, collection: str, where: re.Match[str], query: dict[str, str]
    ) -> None:
        items = [
            each
            for each in self.cluster.objects.get(collection, {}).values()
            if selected(each, query)
        ]
        version = where["core"] or where["group"]
        head = {"kind": "List", "apiVersion": version}
        for resource, kind, _ in RESOURCES.get(version, []):
            if resource == where["resource"]:
                head["kind"] = f"{kind}List"
        metadata = {"resourceVersion": self.cluster.version}
        self._answer(200, {**head, "metadata": metadata, "items": items})

    def _watch(self, collection: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            self.wfile.flush()
            since = int(query.get("resourceVersion") or 0)
            for event in self.cluster.watch(collection, since):
                if selected(event["object"], query):
                    self.wfile.write(json.dumps(event).encode() + b"\n")
                    self.wfile.flush()
        except OSError:
            pass  # it has seen enough

    def _missing(self, where: re.Match[str]) -> None:
        self._refuse(
            404, "NotFound", f'{where["resource"]} "{where["name"]}" not found'
        )

    def _refuse(self, code: int, reason: str, message: str) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
        self._answer(
            code, {**status, "reason": reason, "message": message, "code": code}
        )

    def _answer(self, code: int, answer: Object) -> None:
        self._send(code, "application/json", json.dumps(answer).encode())

    def _text(self, text: str) -> None:
        self._send(200, "text/plain", text.encode())

    def _send(self, code: int, kind: str, data: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        pass


def discovery(path: str) -> Object | None:
    """Give what an API server says of itself; None for what is no such path."""
    if path == "/version":
        return {"major": "1", "minor": "33", "gitVersion": "v1.33.0"}
    if path == "/openapi/v3":
        urls = {at: {"serverRelativeURL": f"/openapi/v3/{at}"} for at in OPENAPI}
        return {"paths": urls}
    if (version := path.removeprefix("/openapi/v3/")) in OPENAPI:
        return validation(OPENAPI[version])
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = [group(version) for version in RESOURCES if "/" in version]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    version = path.removeprefix("/api/").removeprefix("/apis/")
    if version not in RESOURCES:
        return None
    resources = [
        {"name": name, "kind": kind, "namespaced": namespaced, "verbs": VERBS}
        for name, kind, namespaced in RESOURCES[version]
    ]
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version}
    return {**head, "resources": resources}


def validation(version: str) -> Object:
    """Say that a server judges what it gets, so that Helm leaves it to us.

    What objects may be is for tests/chart/test_rendered.py.
    """
    name, _, short = version.rpartition("/")
    patches = {
        f"/{resource}": {
            "patch": {
                "parameters": [{"name": "fieldValidation", "in": "query"}],
                "x-kubernetes-group-version-kind": {
                    "group": name,
                    "version": short,
                    "kind": kind,
                },
            }
        }
        for resource, kind, _ in RESOURCES[version]
    }
    return {
        "openapi": "3.0.0",
        "info": {"title": "x", "version": "1"},
        "paths": patches,
    }


def group(version: str) -> Object:
    name, _, short = version.partition("/")
    known = {"groupVersion": version, "version": short}
    return {"name": name, "versions": [known], "preferredVersion": known}


def selected(item: Object, query: dict[str, str]) -> bool:
    """Tell whether the selectors of a query, equalities alone, take an object."""
    metadata = item["metadata"]
    labels = metadata.get("labels") or {}
    wanted = dict(
        each.split("=", 1) for each in query.get("labelSelector", "").split(",") if each
    )
    fields = dict(
        each.split("=", 1) for each in query.get("fieldSelector", "").split(",") if each
    )
    return wanted.items() <= labels.items() and all(
        metadata.get(key.removeprefix("metadata.")) == value
        for key, value in fields.items()
        if key.startswith("metadata.")
    )


def merge(found: Object, change: Object) -> None:
    """RFC 7396."""
    for key, value in change.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict) and isinstance(found.get(key), dict):
            merge(found[key], value)
        else:
            found[key] = value
