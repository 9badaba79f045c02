"""A node that runs the manifests of a cluster, as far as namespaces can be one.

A service has an address of each family, which the node leads to its pod, as kube-proxy
does, and names, which each pod has in an /etc/hosts of its own. ConfigMaps and Secrets
are folders. The kubelet is that of `tests.netns.kubelet`.
"""

from __future__ import annotations

import base64
import shutil
import signal
import urllib.request
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

from tests.netns.kubelet import Kubelet
from tests.netns.pods import Hub
from tests.netns.world import write
from tests.support.examples import pod_template
from tests.support.helm import find
from tests.support.programs import require
from tests.support.sidecars import Samples

if TYPE_CHECKING:
    from contextlib import ExitStack

    from sidecar.redirect.model import Backend
    from tests.netns.pods import Pod
    from tests.support.helm import Manifest

NETWORKS = ("10.96.0.", "fd96::")
"""Of the services."""

_FILES = Path("/etc/netns")
"""What is there for a namespace takes the place of what is in /etc (ip-netns(8))."""


@define
class Cluster:
    """Has *objects*; pods run from `start` until the stack is closed.

    Attributes:
        services: The addresses of each service, by NAMESPACE/NAME.
    """

    objects: list[Manifest]
    folder: Path
    backend: Backend
    stack: ExitStack
    hub: Hub
    services: dict[str, tuple[str, str]] = field(factory=dict)

    @classmethod
    def new(
        cls, objects: list[Manifest], folder: Path, backend: Backend, stack: ExitStack
    ) -> Cluster:
        made = cls(objects, folder, backend, stack, Hub.new(stack))
        found = [each for each in objects if each["kind"] == "Service"]
        for number, each in enumerate(found, 10):
            ipv4, ipv6 = (f"{network}{number}" for network in NETWORKS)
            made.services[full_name(each)] = (ipv4, ipv6)
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            made.hub.space.within(partial(write, f"/proc/sys/net/{name}", "1"))
        # Pods are neighbours: what they answer has to go back by way of the node.
        translated = ("-m", "conntrack", "--ctstate", "DNAT", "-j", "MASQUERADE")
        made._nat(0, "POSTROUTING", *translated)
        made._nat(1, "POSTROUTING", *translated)
        return made

    def start(self, kind: str, full: str) -> Kubelet:
        """Run the pod of a workload; return when its containers have been started."""
        (workload,) = (
            each
            for each in self.objects
            if (each["kind"], full_name(each)) == (kind, full)
        )
        namespace, name = full.split("/")
        template = pod_template(workload)
        assert template is not None
        pod = self.hub.pod(name)
        self._write_hosts(pod, namespace)
        self._lead_services_to(pod, namespace, template["metadata"]["labels"])
        folder = self.folder / namespace / name
        folder.mkdir(parents=True)
        mounts = self._mounts(template["spec"], namespace, folder)
        kubelet = Kubelet(self.hub, pod, template, mounts, folder)
        self.stack.enter_context(kubelet)
        self.stack.callback(kill, kubelet)
        return kubelet

    def _nat(self, family: int, *words: str) -> None:
        program = require(f"{('iptables', 'ip6tables')[family]}-{self.backend}")
        self.hub.space.run(program, "-t", "nat", "-A", *words)

    def _write_hosts(self, pod: Pod, namespace: str) -> None:
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        for full, addresses in self.services.items():
            own, name = full.split("/")
            names = [f"{name}.{own}{end}" for end in ("", ".svc", ".svc.cluster.local")]
            names += [name] * (own == namespace)
            lines += [f"{address} {' '.join(names)}" for address in addresses]
        folder = _FILES / pod.name
        folder.mkdir(parents=True)
        self.stack.callback(shutil.rmtree, folder)
        (folder / "hosts").write_text("\n".join([*lines, ""]))
        # What is not in there is not known, and nobody waits for a server to say so.
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")

    def _lead_services_to(
        self, pod: Pod, namespace: str, labels: dict[str, str]
    ) -> None:
        for service in self.objects:
            if service["kind"] != "Service":
                continue
            spec = service["spec"]
            if not (
                service["metadata"]["namespace"] == namespace
                and spec["selector"].items() <= labels.items()
            ):
                continue
            own = self.services[full_name(service)]
            for port in spec["ports"]:
                to = port.get("targetPort", port["port"])
                ends = (f"{pod.addresses[0]}:{to}", f"[{pod.addresses[1]}]:{to}")
                for family, end in enumerate(ends):
                    called = ("-d", own[family], "-p", "tcp", "--dport", port["port"])
                    dnat = ("-j", "DNAT", "--to-destination", end)
                    self._nat(family, "PREROUTING", *map(str, called), *dnat)

    def _mounts(self, spec: Manifest, namespace: str, folder: Path) -> dict[str, Path]:
        """Write what the volumes hold; give where each is, by where it is mounted."""
        held = {}
        for volume in spec["volumes"]:
            if files := self._files(volume, namespace):
                held[volume["name"]] = files
        mounts = {}
        for container in spec["initContainers"] + spec["containers"]:
            for mount in container["volumeMounts"]:
                if mount["name"] in held:
                    mounts[mount["mountPath"]] = folder / mount["name"]
        for name, files in held.items():
            (folder / name).mkdir()
            for key, data in files.items():
                for path, place in mounts.items():
                    data = data.replace(f"{path}/".encode(), f"{place}/".encode())  # noqa: PLW2901
                (folder / name / key).write_bytes(data)
                # Any mode will do in a volume, but not in what stands for one.
                (folder / name / key).chmod(0o600)
        return mounts

    def _files(self, volume: Manifest, namespace: str) -> dict[str, bytes]:
        kinds = {"configMap": ("ConfigMap", "name"), "secret": ("Secret", "secretName")}
        for key, (kind, name) in kinds.items():
            if key in volume:
                own = [
                    each
                    for each in self.objects
                    if each["metadata"].get("namespace") == namespace
                ]
                data: dict[str, str] = find(own, kind, volume[key][name])["data"]
                return {
                    file: base64.b64decode(text) if kind == "Secret" else text.encode()
                    for file, text in data.items()
                }
        return {}


def kill(kubelet: Kubelet) -> None:
    """End what still runs, as nobody is left whom it could drain for."""
    for process in kubelet.processes.values():
        if process.poll() is None:
            process.signal(signal.SIGKILL)


def scraped(kubelet: Kubelet) -> Samples:
    """Give what Prometheus would, who asks from anywhere."""
    url = "http://127.0.0.1:15020/metrics"
    with kubelet.pod.within(lambda: urllib.request.urlopen(url, timeout=10)) as answer:
        return Samples.parse(answer.read().decode())


def full_name(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return f"{metadata.get('namespace')}/{metadata['name']}"
