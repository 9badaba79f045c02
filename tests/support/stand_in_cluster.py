"""An API server and the little of a cluster that `helm install` needs to be real.

It keeps objects, tells those who watch, and refuses what has no namespace; whatever is
in a Job is run, as a kubelet would: the container's command, with the files of its
volumes. Helm cannot tell; nothing else should be asked of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from attrs import define, field

from tests.support.stand_in_api import Handler, Object

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@define
class StandInCluster:
    """What is there.

    Attributes:
        url: Of the API server.
        folder: Where the files of the Jobs' volumes go.
        objects: By the path of their collection, then by name.
        logs: What each Job said.
    """

    url: str
    folder: Path
    objects: dict[str, dict[str, Object]] = field(factory=dict)
    logs: dict[str, str] = field(factory=dict)
    _events: list[tuple[str, str, Object]] = field(factory=list)
    _changed: threading.Condition = field(factory=threading.Condition)
    _closed: bool = False

    def names(self, kind: str) -> list[str]:
        """Give the names of all objects of a kind."""
        return sorted(
            each["metadata"]["name"]
            for collection in self.objects.values()
            for each in collection.values()
            if each.get("kind") == kind
        )

    def put(self, collection: str, item: Object, event: str = "MODIFIED") -> Object:
        with self._changed:
            version = str(len(self._events) + 2)
            metadata = item.setdefault("metadata", {})
            metadata.setdefault("uid", f"uid-{version}")
            metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
            metadata["resourceVersion"] = version
            if event == "DELETED":
                self.objects.get(collection, {}).pop(metadata["name"], None)
            else:
                self.objects.setdefault(collection, {})[metadata["name"]] = item
            self._events.append((event, collection, json.loads(json.dumps(item))))
            self._changed.notify_all()
        return item

    def watch(self, collection: str, since: int) -> Iterator[Object]:
        """Give what happens to a collection, until the cluster ends."""
        at = max(since - 1, 0)
        while True:
            with self._changed:
                while at >= len(self._events) and not self._closed:
                    self._changed.wait(1)
                if self._closed:
                    return
                event, where, item = self._events[at]
            at += 1
            if where == collection:
                yield {"type": event, "object": item}

    @property
    def version(self) -> str:
        return str(len(self._events) + 1)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def run_job(self, collection: str, job: Object) -> None:
        """Run the command of a Job's container, and say how it ended."""
        spec = job["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        words = [str(word) for word in container["args"]]
        for mount in container.get("volumeMounts", []):
            (volume,) = [v for v in spec["volumes"] if v["name"] == mount["name"]]
            config_maps = self.objects[f"/api/v1/namespaces/{namespace}/configmaps"]
            place = self.folder / name / mount["mountPath"].strip("/")
            place.mkdir(parents=True, exist_ok=True)
            for key, text in config_maps[volume["configMap"]["name"]]["data"].items():
                (place / key).write_text(text)
            words = [word.replace(mount["mountPath"], str(place)) for word in words]
        ended = subprocess.run(
            [sys.executable, "-m", "sidecar", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.logs[name] = ended.stdout
        done = ended.returncode == 0
        self._add_pod(job, "Succeeded" if done else "Failed")
        condition = "Complete" if done else "Failed"
        job["status"] = {
            "succeeded" if done else "failed": 1,
            "startTime": "2026-01-01T00:00:00Z",
            "conditions": [
                {"type": condition, "status": "True", "reason": "BackoffLimit"}
            ],
        }
        self.put(collection, job)

    def _add_pod(self, job: Object, phase: str) -> None:
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        template = job["spec"]["template"]
        labels = {**template["metadata"]["labels"], "job-name": name}
        metadata = {"name": f"{name}-x", "namespace": namespace, "labels": labels}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
        pod |= {"spec": template["spec"], "status": {"phase": phase}}
        self.put(f"/api/v1/namespaces/{namespace}/pods", pod, "ADDED")


@contextmanager
def standing_in(folder: Path, *namespaces: str) -> Iterator[StandInCluster]:
    """Run a cluster with these namespaces, beside those that every cluster has."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    cluster = StandInCluster(f"http://127.0.0.1:{server.server_port}", folder)
    server.RequestHandlerClass = type("_", (Handler,), {"cluster": cluster})
    for name in ("default", "kube-system", *namespaces):
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name},
        }
        cluster.put(
            "/api/v1/namespaces", {**namespace, "status": {"phase": "Active"}}, "ADDED"
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield cluster
    finally:
        cluster.close()
        server.shutdown()
        server.server_close()
        thread.join()
