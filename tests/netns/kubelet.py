"""Stands in for a kubelet: runs an injected pod in its order of events.

What it runs comes from the manifest alone: commands, variables, users, capabilities,
probes, hooks. Two things stand for what a node has: an image is the checkout, and a
volume is the folder that has its files, whose path takes the place of the mount's.

The order is that of Kubernetes (Pod Lifecycle; Sidecar Containers): init containers one
after the other, one that restarts always only until its startup probe has succeeded;
then the containers, each as soon as the postStart hook of the one before has ended; at
the end those with SIGTERM at once, and after them the native sidecars, last one first.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from attrs import define, field

from tests.support.deadlines import eventually
from tests.support.processes import Process
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.netns.pods import Hub, Pod

Manifest = dict[str, Any]

NOBODY = "65534"
_SECONDS = 30


@define
class Kubelet:
    """Runs *manifest* in *pod*; what is mounted at a path is in the folder beside it.

    Attributes:
        ended: The containers that have ended, in that order.
    """

    hub: Hub
    pod: Pod
    manifest: Manifest
    mounts: Mapping[str, Path]
    folder: Path
    processes: dict[str, Process] = field(factory=dict)
    ended: list[str] = field(factory=list)
    _stack: ExitStack = field(factory=ExitStack)

    def __enter__(self) -> Self:
        """Start the pod; return when all of its containers have been started."""
        with self._stack:
            for container in self._listed("initContainers"):
                lives_on = container.get("restartPolicy") == "Always"
                process = self._run(container, alone=not lives_on)
                if lives_on:
                    self._wait_until_started(container)
                else:
                    assert process.wait(_SECONDS) == 0, process.report()
            for container in self._listed("containers"):
                self._run(container)
                self._hook(container)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def succeeds(self) -> bool:
        """Wait for the containers of a job; give whether the pod has succeeded."""
        for name in self._names("containers"):
            self._wait(name)
        return self._end_sidecars()

    def delete(self) -> None:
        """Tell all containers at once to end, as when a pod is deleted."""
        for name in self._names("containers"):
            self.processes[name].signal(signal.SIGTERM)

    def is_gone(self) -> bool:
        """Wait for the end of a pod that is deleted; give whether it was a good one."""
        return self.succeeds()

    def probe(self, container: str, name: str) -> bool:
        """Ask as the kubelet does, from the node, at the pod's address."""
        for each in self._listed("containers") + self._listed("initContainers"):
            if each["name"] == container:
                return self._succeeds(each[name])
        raise KeyError(container)

    def run_in(self, container: str, *command: str) -> int:
        """Run a command in a container, as `kubectl exec` does."""
        (found,) = (
            each
            for each in self._listed("containers") + self._listed("initContainers")
            if each["name"] == container
        )
        with self._process(found, f"{container}-exec", command) as process:
            return process.wait(_SECONDS)

    def _end_sidecars(self) -> bool:
        native = [
            each["name"]
            for each in self._listed("initContainers")
            if each.get("restartPolicy") == "Always"
        ]
        for name in reversed(native):
            assert self.processes[name].poll() is None, f"{name} ended by itself"
            self.processes[name].signal(signal.SIGTERM)
            self._wait(name)
        return all(process.poll() == 0 for process in self.processes.values())

    def _wait(self, name: str) -> None:
        self.processes[name].wait(_SECONDS)
        self.ended.append(name)

    def _wait_until_started(self, container: Manifest) -> None:
        probe = container.get("startupProbe")
        if probe is not None:
            what = f"{container['name']} has started"
            eventually(lambda: self._succeeds(probe), what, _SECONDS)

    def _succeeds(self, probe: Manifest) -> bool:
        get = probe["httpGet"]
        assert get["scheme"] == "HTTP"
        node = type(self.pod)(self.hub.space.name)
        try:
            with node.connect(self.pod.addresses[0], get["port"]) as sock:
                return ask_status(sock, get["path"]) < 400
        except OSError:
            return False

    def _hook(self, container: Manifest) -> None:
        hook = container.get("lifecycle", {}).get("postStart")
        if hook is not None:
            command = hook["exec"]["command"]
            name = f"{container['name']}-post-start"
            with self._process(container, name, command) as process:
                assert process.wait(_SECONDS) == 0, process.report()

    def _run(self, container: Manifest, *, alone: bool = False) -> Process:
        # The image's entry point is `sidecar`; an application's is in its manifest.
        command = container.get("command", ["sidecar"]) + container.get("args", [])
        name = container["name"]
        process = self._process(container, name, command, alone=alone)
        self.processes[name] = self._stack.enter_context(process)
        return process

    def _process(
        self,
        container: Manifest,
        name: str,
        command: list[str] | tuple[str, ...],
        *,
        alone: bool = False,
    ) -> Process:
        words: list[str] = []
        for word in command:
            for mount, folder in self.mounts.items():
                word = word.replace(mount, str(folder))  # noqa: PLW2901
            words.append(word)
        if words[0] == "sidecar":
            words[:1] = [sys.executable, "-m", "sidecar"]
        if words[0] == "python":
            words[:1] = [sys.executable]
        words[:0] = self._confined(container)
        if alone:
            # It sees no process but its own, as in a container. Those that get
            # signals do without: `unshare` would get them in their place.
            space = ("--pid", "--fork", "--mount-proc", "--kill-child")
            words[:0] = [str(require("unshare")), *space]
        env = {each["name"]: each["value"] for each in container.get("env", [])}
        return Process(
            [str(each) for each in self.pod.command(*words)],
            self.folder,
            name,
            {"PATH": os.environ["PATH"], **env},  # noqa: TID251 - for a process
        )

    def _confined(self, container: Manifest) -> list[str]:
        """Give the words that make a process what its securityContext says."""
        security = container.get("securityContext", {})
        user = str(security.get("runAsUser", NOBODY))
        group = str(security.get("runAsGroup", NOBODY))
        added = security.get("capabilities", {}).get("add", [])
        # It may read what belongs to root, as a checkout often does.
        kept = ["+dac_read_search", *(f"+{name.lower()}" for name in added)]
        some = ",".join(["-all", *kept])
        # Ambient capabilities are nothing that Kubernetes gives: what was added is
        # there for root alone.
        had = some if user == "0" else ",".join(["-all", kept[0]])
        return [
            *(str(require("setpriv")), "--reuid", user, "--regid", group),
            *("--clear-groups", "--no-new-privs", "--bounding-set", some),
            *("--inh-caps", had, "--ambient-caps", had),
        ]

    def _listed(self, key: str) -> list[Manifest]:
        found: list[Manifest] = self.manifest["spec"].get(key, [])
        return found

    def _names(self, key: str) -> list[str]:
        return [each["name"] for each in self._listed(key)]


def ask_status(sock: Any, path: str) -> int:
    """Ask as a kubelet does; give the status."""
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-probe/1.35\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    answer = b""
    while data := sock.recv(65536):
        answer += data
    if not answer:
        raise ConnectionResetError("no answer")
    return int(answer.split()[1])
