"""Whether a pod gets the sidecar, and what keeps it from having one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sidecar.injector.additions import CONFIG_VOLUME, VOLUMES
from sidecar.injector.annotations import parse_switch
from sidecar.injector.model import (
    INIT,
    INJECT,
    INJECTED,
    PORTS,
    SIDECAR,
    STATUS,
    InjectionContext,
    InjectionSettings,
)
from sidecar.injector.pod import list_of, mapping_of, names_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sidecar.injector.pod import Container, Pod

_SYSTEM: Final = frozenset({"kube-system", "kube-public", "kube-node-lease"})
_SYSTEM_OF_NODE: Final = "kubernetes.io/os"
_WINDOWS: Final = "windows"
_MIRROR: Final = "kubernetes.io/config.mirror"
_CONFIG_SOURCE: Final = "kubernetes.io/config.source"


def why_not(pod: Pod, context: InjectionContext) -> str | None:
    """Say why a pod stays without the sidecar, and well so; None where it does not.

    Raises:
        ValueError: Somebody says whether it should, but not in a word for it.
    """
    said = _said(pod, context)
    if said is not None:
        return said
    spec = pod.spec
    if spec.get("hostNetwork") is True:
        return "it uses the network of its node, which the sidecar would redirect whole"
    if (
        _MIRROR in pod.annotations
        or pod.annotations.get(_CONFIG_SOURCE, "api") != "api"
    ):
        return "it is a static pod, which its node made from a file"
    if _is_for_windows(spec):
        return "it runs on Windows"
    if context.namespace in _SYSTEM:
        return f"the namespace {context.namespace} is of Kubernetes itself"
    return None


def _is_for_windows(spec: Mapping[str, Any]) -> bool:
    said = (
        mapping_of(spec, "os").get("name"),
        mapping_of(spec, "nodeSelector").get(_SYSTEM_OF_NODE),
    )
    if _WINDOWS in said:
        return True
    required = mapping_of(
        mapping_of(mapping_of(spec, "affinity"), "nodeAffinity"),
        "requiredDuringSchedulingIgnoredDuringExecution",
    )
    # One of the terms has to hold, and of a term all expressions.
    terms = list_of(required, "nodeSelectorTerms")
    wanted = {"key": _SYSTEM_OF_NODE, "operator": "In", "values": [_WINDOWS]}
    return bool(terms) and all(
        isinstance(term, dict) and wanted in list_of(term, "matchExpressions")
        for term in terms
    )


def has_it(pod: Pod) -> bool:
    """Tell whether the pod was injected: it says so, or is a copy of one that was.

    `kubectl debug --copy-to` copies the containers, and not what annotations say.
    """
    return any(
        each.name == SIDECAR
        and (
            STATUS in pod.annotations
            or CONFIG_VOLUME in {*pod.volumes} & {*names_of(each.raw, "volumeMounts")}
        )
        for each in pod.containers
    )


def _said(pod: Pod, context: InjectionContext) -> str | None:
    for who, there in (
        ("the label of the pod", pod.labels),
        ("the annotation of the pod", pod.annotations),
        (f"the label of the namespace {context.namespace}", context.namespace_labels),
    ):
        if (text := there.get(INJECT)) is None:
            continue
        try:
            wanted = parse_switch(text)
        except ValueError as error:
            raise ValueError(f"{who}, {INJECT}: {error}") from None
        return None if wanted else f"{who} says {INJECT}: {text}"
    return None if context.enabled else f"neither it nor its namespace says {INJECT}"


def conflicts(pod: Pod, settings: InjectionSettings) -> Iterator[str]:
    """Find what would break, or pass by the sidecar, were it injected."""
    if STATUS in pod.annotations:
        yield (
            f"annotation {STATUS}: it says that the sidecar is there, which it is not:"
            " remove the annotation"
        )
    if pod.labels.get(INJECTED, "true") != "true":
        yield f"label {INJECTED}: it is set by injection: remove it"
    yield from conflicts_in(pod.containers, pod, settings)
    for name in sorted({*VOLUMES} & {*pod.volumes}):
        yield (
            f"spec.volumes[{name}]: a volume of the sidecar has this name:"
            " give it another"
        )


def conflicts_in(
    containers: Iterable[Container], pod: Pod, settings: InjectionSettings
) -> Iterator[str]:
    """Find what would break, or pass by, of the application's containers."""
    for container in containers:
        if container.name in {SIDECAR, INIT}:
            yield (
                f"{container.place}: the sidecar's own container has this name:"
                " give it another"
            )
            continue
        yield from _ports(container)
        if settings.native or container.lives_on:
            yield from _user(pod, container, settings)


def _ports(container: Container) -> Iterator[str]:
    for port in container.ports:
        number = port.get("containerPort")
        if number in PORTS and port.get("protocol", "TCP") == "TCP":
            yield (
                f"{container.place}.ports: the sidecar listens on {number} in the same"
                " pod: let the application use another port"
            )


def _user(pod: Pod, container: Container, settings: InjectionSettings) -> Iterator[str]:
    own, all_of = container.section("securityContext"), pod.spec.get("securityContext")
    for key, ours in (
        ("runAsUser", settings.proxy_uid),
        ("runAsGroup", settings.proxy_gid),
    ):
        number = own.get(key)
        if number is None:
            number = (all_of or {}).get(key)
        if number == ours:
            yield (
                f"{container.place}: {key} {ours} is the sidecar's, and what has it"
                " passes by the sidecar, without mTLS and without policy: run the"
                " application as another"
            )
