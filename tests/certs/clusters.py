"""What of an API server `sidecar certs webhook` asks: two objects, over real TLS."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from attrs import define, field

from sidecar.certs.webhook_pair import WebhookPair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = "/api/v1/namespaces/mesh/secrets/webhook-certificate"
CONFIGURATION = (
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/webhook"
)
TOKEN = "a-token-of-a-service-account"
DAY = timedelta(days=1)


@define
class Cluster:
    """The objects, and what was asked.

    Attributes:
        before_patch: Is called with the path of each change, before it is made.
    """

    folder: Path
    url: str = ""
    asked: list[str] = field(factory=list)
    objects: dict[str, Any] = field(factory=dict)
    before_patch: Callable[[str], None] = lambda _: None

    @property
    def options(self) -> list[str]:
        ca, token = self.folder / "ca.crt", self.folder / "token"
        return [f"--server={self.url}", f"--ca-file={ca}", f"--token-file={token}"]

    @property
    def stored(self) -> WebhookPair:
        data = self.objects[SECRET]["data"]
        keys = ("tls.crt", "tls.key", "ca.crt")
        return WebhookPair(*(base64.b64decode(data[key]) for key in keys))

    @property
    def trusted(self) -> list[bytes]:
        """What each webhook's API server trusts."""
        return [
            base64.b64decode(each["clientConfig"].get("caBundle", ""))
            for each in self.objects[CONFIGURATION]["webhooks"]
        ]

    def store(self, pair: WebhookPair) -> None:
        data = {
            "tls.crt": pair.certificate,
            "tls.key": pair.private_key,
            "ca.crt": pair.ca,
        }
        self.objects[SECRET]["data"] = {
            key: base64.b64encode(value).decode() for key, value in data.items()
        }
        self.change(SECRET)

    def change(self, path: str) -> None:
        metadata = self.objects[path]["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)


def new_objects() -> dict[str, Any]:
    """Give what the chart makes."""
    service = {"name": "webhook", "namespace": "mesh", "path": "/inject"}
    return {
        SECRET: {"kind": "Secret", "metadata": {"resourceVersion": "1"}},
        CONFIGURATION: {
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"resourceVersion": "1"},
            "webhooks": [
                {"name": name, "clientConfig": {"service": dict(service)}}
                for name in ("namespace.inject", "pod.inject")
            ],
        },
    }


@contextmanager
def serving(folder: Path) -> Iterator[Cluster]:
    """Run an API server; its CA and a token are in *folder*."""
    pair = WebhookPair.make(["localhost"], datetime.now(UTC), DAY)
    (folder / "ca.crt").write_bytes(pair.ca)
    (folder / "token").write_text(f"{TOKEN}\n")
    chain = folder / "server.pem"
    chain.write_bytes(pair.certificate + pair.private_key)
    cluster = Cluster(folder, objects=new_objects())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("_", (_Handler,), {"cluster": cluster})
    )
    server.socket = context.wrap_socket(server.socket, server_side=True)
    cluster.url = f"https://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster

    def do_GET(self) -> None:
        self._answer(*self._find())

    def do_PATCH(self) -> None:
        self.path, _, manager = self.path.partition("?")
        assert manager == "fieldManager=sidecar"
        status, found = self._find()
        if status == 200:
            self.cluster.before_patch(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, found = self._change(found, json.loads(body))
        self._answer(status, found)

    def _find(self) -> tuple[int, Any]:
        self.cluster.asked.append(f"{self.command} {self.path.rpartition('/')[2]}")
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return 401, {"message": "Unauthorized"}
        if self.path not in self.cluster.objects:
            return 404, {"message": f"{self.path} not found"}
        return 200, self.cluster.objects[self.path]

    def _change(self, found: Any, change: Any) -> tuple[int, Any]:
        version = change.get("metadata", {}).get("resourceVersion")
        if version not in {None, found["metadata"]["resourceVersion"]}:
            return 409, {"message": "the object has been modified"}
        kind = self.headers["Content-Type"].partition("/")[2]
        if kind == "strategic-merge-patch+json":
            by_name = {each["name"]: each for each in found["webhooks"]}
            for each in change["webhooks"]:
                merge(by_name[each["name"]], each)
        elif kind == "merge-patch+json":
            merge(found, change)
        else:
            return 415, {"message": kind}
        self.cluster.change(self.path)
        return 200, found

    def _answer(self, status: int, answer: Any) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        pass


def merge(found: dict[str, Any], change: dict[str, Any]) -> None:
    """RFC 7396."""
    for key, value in change.items():
        if isinstance(value, dict):
            merge(found.setdefault(key, {}), value)
        else:
            found[key] = value
