"""The pods and pod templates in the objects of a manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from sidecar.injector.pod import mapping_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sidecar.injector.operations import Tokens

_TEMPLATE: Final = ("spec", "template")
_WORKLOADS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("", "Pod"): (),
    ("", "PodTemplate"): ("template",),
    ("", "ReplicationController"): _TEMPLATE,
    ("apps", "DaemonSet"): _TEMPLATE,
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_TEMPLATE),
    ("batch", "Job"): _TEMPLATE,
}
"""By group and kind, the way to what pods are made from."""


@frozen
class Workload:
    """An object that pods are made from, or a pod.

    Attributes:
        way: To the pod, or its template, within the document.
        pod: It, as it is there.
        known: Whether it is a kind of Kubernetes itself; others only look like one.
    """

    kind: str
    namespace: str
    name: str
    way: Tokens
    pod: Any
    known: bool = True

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def workloads_of(document: Any, way: Tokens = ()) -> Iterator[Workload]:
    """Find the workloads of a document; other objects are passed over."""
    if not isinstance(document, dict):
        return
    group, kind = _group(document), document.get("kind")
    below = _WORKLOADS.get((group, kind)) if isinstance(kind, str) else None
    known = below is not None
    if not known and isinstance(_at(document, (*_TEMPLATE, "spec")), dict):
        below = _TEMPLATE
    if below is not None:
        metadata = mapping_of(document, "metadata")
        yield Workload(
            str(kind),
            str(metadata.get("namespace") or "default"),
            str(metadata.get("name") or metadata.get("generateName") or "(no name)"),
            (*way, *below),
            _at(document, below),
            known,
        )
    for at, item in enumerate(_items(document)):
        yield from workloads_of(item, (*way, "items", at))


def namespaces_of(document: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Find the metadata of each Namespace of a document, by its name."""
    if not isinstance(document, dict):
        return
    if (_group(document), document.get("kind")) == ("", "Namespace"):
        metadata = mapping_of(document, "metadata")
        yield str(metadata.get("name")), metadata
    for item in _items(document):
        yield from namespaces_of(item)


def _group(document: Mapping[str, Any]) -> str:
    """Give the group of an object; the first group of all has no name."""
    version = document.get("apiVersion")
    group, slash, _ = str(version).rpartition("/")
    # Where Deployments were before Kubernetes 1.16.
    return "apps" if group == "extensions" else group if slash else ""


def _items(document: Mapping[str, Any]) -> list[Any]:
    """Give the objects of a List, be it one of anything or of one kind."""
    kind, items = document.get("kind"), document.get("items")
    if not isinstance(items, list) or not str(kind).endswith("List"):
        return []
    return items


def _at(document: Any, way: tuple[str, ...]) -> Any:
    for key in way:
        document = document.get(key) if isinstance(document, dict) else None
    return document
