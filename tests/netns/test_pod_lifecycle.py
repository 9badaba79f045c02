"""Ensures that jobs finish, that nobody calls too early, and that nothing is cut off.

Each pod is injected by the webhook, asked as an API server asks it, and run in the
order of a kubelet: see `tests.netns.kubelet`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sidecar.redirect.model import Backend
from tests.integration.callers import read_all
from tests.netns.calling import tls
from tests.netns.kubelet import Kubelet
from tests.netns.world import API, APP, FRONTEND, settings as configured
from tests.support.deadlines import eventually
from tests.support.pki import identity
from tests.support.webhooks import Webhook
from tests.webhook.reviews import body, patched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.netns.pods import Pod
    from tests.netns.world import World

# Which iptables it is makes no difference here: the other tests have both.
pytestmark = pytest.mark.parametrize("backend", [Backend.NFT], indirect=True)

DRAIN_SECONDS = 1.5

# Calls once, and never again: a connection that comes too early is its end.
CALL = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], 8080, timeout=10)
connection.request("GET", "/" + sys.argv[2])
print(connection.getresponse().read().decode())
"""
QUIT = """
connection = http.client.HTTPConnection("127.0.0.1", 15000, timeout=10)
connection.request("POST", "/quitquitquit")
assert connection.getresponse().status == 200
"""
# Answers /slow when the file is there, and ends when all is answered.
SERVE = """
import http.server, pathlib, signal, sys, threading, time
told, asked = threading.Event(), []
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            asked.append(self.path)
            print("asked", flush=True)
            while not pathlib.Path(sys.argv[1]).exists():
                time.sleep(0.02)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"answer to " + self.path.encode())
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Page)
server.daemon_threads = False
def leave():
    told.wait()
    while asked and not pathlib.Path(sys.argv[1]).exists():
        time.sleep(0.02)
    server.shutdown()
threading.Thread(target=leave).start()
signal.signal(signal.SIGTERM, lambda *_: told.set())
server.serve_forever()
server.server_close()
"""

# Listens when the file is there; ends by the signal itself, as many programs do.
LISTEN_LATE = """
import pathlib, socket, sys, time
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.02)
with socket.create_server(("", 8080)) as listener:
    while True:
        listener.accept()[0].close()
"""


# Says who called, and ends with the first call.
WHO = """
import socket
with socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True) as own:
    print("listens", flush=True)
    sock, address = own.accept()
    sock.sendall(address[0].removeprefix("::ffff:").encode())
    sock.close()
"""


@pytest.fixture(params=[True, False], ids=["native", "ordinary"])
def native(request: pytest.FixtureRequest) -> bool:
    """Whether the sidecar is an init container that goes on running."""
    return bool(request.param)


@pytest.fixture(scope="module")
def webhook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    settings = "image: sidecar:1\nidentity: {source: secret}\n"
    folder = tmp_path_factory.mktemp("webhook")
    with Webhook(folder, "--drain-delay", "0", settings=settings) as made:
        eventually(made.is_ready, "the webhook is ready")
        yield made


def injected(
    webhook: Webhook, name: str, spec: dict[str, Any], *, native: bool, **more: str
) -> dict[str, Any]:
    """Have an API server create a pod; give what becomes of it."""
    chosen = {"native-sidecar": "always" if native else "never", **more}
    annotations = {f"sidecar.mesh/{key}": value for key, value in chosen.items()}
    metadata = {"name": name, "annotations": annotations}
    asked = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    status, answered = webhook.post(body(asked))
    assert status == 200, answered
    return patched(asked, answered)


def python(name: str, script: str, *arguments: str, **more: Any) -> dict[str, Any]:
    command = [sys.executable, "-c", script, *arguments]
    return {"name": name, "image": "python", "command": command, **more}


@pytest.fixture
def pod(world: World) -> Iterator[Pod]:
    """A pod like the others, but nobody has prepared it."""
    with world.hub.guest() as pod:
        yield pod


def volumes(
    world: World, folder: Path, *, transparent: bool = False
) -> dict[str, Path]:
    """Write what the ConfigMap and the Secret of the pod would have."""
    api: dict[str, object] = {
        "name": "api",
        "to": [*world.api.pod.addresses],
        "mode": "mtls",
        "peers": [API],
    }
    content = {
        "identity": identity(folder, FRONTEND, world.authority),
        **configured("deny", [api], 0.25),
        "policy": "policy.yaml",
        "drain": {"delay_seconds": DRAIN_SECONDS, "deadline_seconds": 20},
    }
    if transparent:
        content["inbound"]["listeners"][0]["transparent"] = True
    rule = {"name": "frontend", "action": "allow", "peers": [FRONTEND]}
    (folder / "sidecar.yaml").write_text(yaml.safe_dump(content))
    (folder / "policy.yaml").write_text(
        yaml.safe_dump({"default": "deny", "rules": [rule]})
    )
    return {"/etc/sidecar": folder}


def run(world: World, pod: Pod, folder: Path, manifest: dict[str, Any]) -> Kubelet:
    return Kubelet(world.hub, pod, manifest, volumes(world, folder), folder)


def test_a_job_calls_over_mtls_from_its_first_moment_and_finishes(
    world: World, webhook: Webhook, pod: Pod, tmp_path: Path, native: bool
) -> None:
    api = world.api.pod.addresses[0]
    job = CALL if native else CALL + QUIT
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "containers": [python("job", job, api, "job")],
    }
    if native:
        # Before an ordinary sidecar it would have no mTLS: `sidecar inject` says so.
        spec["initContainers"] = [python("migrate", CALL, api, "migrate")]
    manifest = injected(webhook, "job", spec, native=native)
    with run(world, pod, tmp_path, manifest) as kubelet:
        assert kubelet.succeeds()
        assert kubelet.ended == (["job", "sidecar"] if native else ["sidecar", "job"])
        for name in ("job", "migrate")[: 1 + native]:
            assert kubelet.processes[name].output() == f"{api} {APP}\n"

    def called() -> list[dict[str, Any]]:
        records = world.api.access_records()
        ours = f"{pod.addresses[0]}:"
        return [each for each in records if each["source"].startswith(ours)]

    calls = 1 + native
    eventually(lambda: len(called()) == calls, "the api has heard of all calls")
    assert [each["peer"] for each in called()] == [FRONTEND] * calls
    assert [each["outcome"] for each in called()] == ["completed"] * calls


def test_a_pod_that_is_deleted_answers_whom_it_has_heard(
    world: World, webhook: Webhook, pod: Pod, tmp_path: Path, native: bool
) -> None:
    address, release = pod.addresses[0], tmp_path / "release"
    probe = {"httpGet": {"path": "/healthz", "port": 8080}}
    spec: dict[str, Any] = {
        "containers": [
            python(
                "web", SERVE, str(release), readinessProbe=probe, livenessProbe=probe
            )
        ]
    }
    manifest = injected(webhook, "web", spec, native=native)
    caller = world.pods["stranger"]
    with run(world, pod, tmp_path, manifest) as kubelet:
        eventually(
            lambda: kubelet.probe("web", "readinessProbe"), "the application is ready"
        )
        # The port itself is strict: whoever has no certificate hears nothing.
        assert caller.ask(address, APP, "/healthz") == ""
        with tls(caller, address, APP, world.svid) as (_, held):
            held.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
            kubelet.processes["web"].wait_for_line("asked")
            kubelet.delete()
            if not native:
                kubelet.processes["sidecar"].wait_for_line('"draining"')
            # Those who have not heard of its end yet are served as before.
            with tls(caller, address, APP, world.svid) as (_, late):
                late.sendall(b"GET /late HTTP/1.0\r\n\r\n")
                assert b"answer to /late" in read_all(late)
            release.touch()
            assert b"answer to /slow" in read_all(held)
        assert kubelet.is_gone()
    assert set(kubelet.ended) == {"web", "sidecar"}
    if native:
        assert kubelet.ended[-1] == "sidecar"


def test_a_probe_sees_the_application_and_not_the_sidecar_before_it(
    world: World, webhook: Webhook, pod: Pod, tmp_path: Path
) -> None:
    begin = tmp_path / "begin"
    container = python(
        "web",
        LISTEN_LATE,
        str(begin),
        readinessProbe={"tcpSocket": {"port": 8080}},
        livenessProbe={"exec": {"command": ["true"]}},
    )
    manifest = injected(webhook, "web", {"containers": [container]}, native=True)
    (web,) = manifest["spec"]["containers"]
    assert web["livenessProbe"] == container["livenessProbe"]
    with run(world, pod, tmp_path, manifest) as kubelet:
        # Where nobody listens, the sidecar accepts: so much for a TCP probe.
        world.pods["stranger"].connect(pod.addresses[0], APP).close()
        assert not kubelet.probe("web", "readinessProbe")
        begin.touch()
        eventually(
            lambda: kubelet.probe("web", "readinessProbe"), "the application listens"
        )
        kubelet.delete()
        assert not kubelet.is_gone()  # for what the application ended with
        assert kubelet.processes["sidecar"].poll() == 0


def test_with_tproxy_the_application_of_an_injected_pod_sees_its_caller(
    world: World, webhook: Webhook, pod: Pod, tmp_path: Path
) -> None:
    """Its sidecar is root with NET_RAW: to any other user Kubernetes gives nothing."""
    spec = {"restartPolicy": "Never", "containers": [python("web", WHO)]}
    tproxy = {"inbound-mode": "tproxy"}
    manifest = injected(webhook, "web", spec, native=True, **tproxy)
    mounts = volumes(world, tmp_path, transparent=True)
    caller = world.pods["stranger"]
    with Kubelet(world.hub, pod, manifest, mounts, tmp_path) as kubelet:
        kubelet.processes["web"].wait_for_line("listens")
        host = pod.addresses[1]
        with tls(caller, host, APP, world.svid) as (_, connection):
            assert read_all(connection).decode() == caller.addresses[1]
        assert kubelet.succeeds()


def test_with_tproxy_a_configuration_that_knows_nothing_of_it_says_so(
    world: World, webhook: Webhook, pod: Pod, tmp_path: Path
) -> None:
    spec = {"containers": [python("web", WHO)]}
    tproxy = {"inbound-mode": "tproxy"}
    manifest = injected(webhook, "web", spec, native=True, **tproxy)
    (sidecar,) = [
        each for each in manifest["spec"]["initContainers"] if each["name"] == "sidecar"
    ]
    kubelet = Kubelet(world.hub, pod, manifest, volumes(world, tmp_path), tmp_path)
    command = ("sidecar", *sidecar["args"])
    assert kubelet.run_in("sidecar", *command) == 2
    said = (tmp_path / "sidecar-exec.err").read_text()
    assert (
        "inbound.listeners[0].transparent: the rules of this pod are made for" in said
    )
