"""A real API server, as `scripts/with-api-server` starts it, and who is asked by it."""

from __future__ import annotations

import base64
import json
import os
import signal
import ssl  # noqa: TID251 - not our side
import subprocess
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

from tests.support.helm import manifests
from tests.support.pki import write_svid
from tests.support.processes import ROOT, Process
from tests.support.programs import require

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tests.support.webhooks import Webhook

Manifest = dict[str, Any]

LATE: Manifest = {
    "image": "example/late:1",
    "ports": [{"name": "http", "containerPort": 9090}],
    "livenessProbe": {"httpGet": {"path": "/ok", "port": "http"}},
}
"""What `LateWebhook` adds."""


class ApiServer(Process):
    """etcd and kube-apiserver, empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        script = ROOT / "scripts" / "with-api-server"
        words = ["sh", "-c", 'echo "$KUBECONFIG"; exec sleep 600']
        super().__init__([script, *words], folder, "api-server")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the command too: before that the script does not mind a signal."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
            self.wait()
        super().__exit__(kind, error, trace)

    def is_ready(self) -> bool:
        self.check_running()
        return bool(self.stdout.read_text())

    def kubectl(
        self, *words: str, given: Manifest | None = None
    ) -> subprocess.CompletedProcess[str]:
        config = self.stdout.read_text().strip()
        return subprocess.run(
            [require("kubectl"), "--kubeconfig", config, *words],
            input=None if given is None else json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
            env={"HOME": str(self.folder)},
        )

    def create(self, *words: str, given: Manifest) -> Manifest:
        done = self.kubectl("create", "-f-", "-ojson", *words, given=given)
        assert done.returncode == 0, done.stderr
        created: Manifest = json.loads(done.stdout)
        return created


def containers_of(pod: Manifest) -> list[Manifest]:
    """Give the containers of both lists."""
    spec = pod["spec"]
    found: list[Manifest] = spec.get("initContainers", []) + spec["containers"]
    return found


def configuration(webhook: Webhook) -> Manifest:
    """Give the chart's, that asks over loopback rather than through a service."""
    (made,) = [
        each for each in manifests() if each["kind"] == "MutatingWebhookConfiguration"
    ]
    for each in made["webhooks"]:
        path = each["clientConfig"]["service"]["path"]
        each["clientConfig"] = _client(webhook, webhook.port, path)
    return made


def _client(webhook: Webhook, port: int, path: str = "/") -> Manifest:
    bundle = (webhook.folder / "webhook.bundle.crt").read_bytes()
    return {
        "url": f"https://localhost:{port}{path}",
        "caBundle": base64.b64encode(bundle).decode(),
    }


class LateWebhook:
    """A webhook that is asked behind ours, and adds containers to who asks for them.

    A pod does so with annotations: `example.org/containers` and
    `example.org/initContainers` are what is different from `LATE`.
    """

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook
        folder, authority = webhook.folder, webhook.authority
        own = write_svid(folder, authority, "/late", dns=["localhost"], name="late")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Adds)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.certificate_chain, own.private_key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def configuration(self) -> Manifest:
        """Give one whose name is behind that of ours, which is the order of asking."""
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
        webhook = {
            "name": "late.example.org",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": _client(self._webhook, self._server.server_address[1]),
            "rules": [{**rule, "operations": ["CREATE"]}],
        }
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "zz-late"},
            "webhooks": [webhook],
        }


class _Adds(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        request = json.loads(self.rfile.read(length))["request"]
        response = {"uid": request["uid"], "allowed": True}
        if patch := _additions(request["object"]):
            text = base64.b64encode(json.dumps(patch).encode()).decode()
            response |= {"patchType": "JSONPatch", "patch": text}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        answer = json.dumps({**review, "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _additions(pod: Manifest) -> list[Manifest]:
    annotations = pod["metadata"].get("annotations", {})
    there = {each["name"] for each in containers_of(pod)}
    patch: list[Manifest] = []
    for inside in ("containers", "initContainers"):
        text, name = annotations.get(f"example.org/{inside}"), f"late-{inside.lower()}"
        if text is not None and name not in there:
            value = {**LATE, **json.loads(text), "name": name}
            patch.append({"op": "add", "path": f"/spec/{inside}/0", "value": value})
    return patch
