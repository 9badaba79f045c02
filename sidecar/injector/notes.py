"""What whoever injects should know, though nothing is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sidecar.injector.pod import PROBES, mapping_of
from sidecar.injector.probes import HANDLERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.injector.model import InjectionContext, InjectionSettings
    from sidecar.injector.pod import Pod

_ENFORCE: Final = "pod-security.kubernetes.io/enforce"
_SCRAPE: Final = "prometheus.io/"


def notes_on(
    pod: Pod, context: InjectionContext, settings: InjectionSettings
) -> Iterator[str]:
    """Say what is left alone, and what the pod needs from others."""
    level = context.namespace_labels.get(_ENFORCE, "privileged")
    if settings.redirect.enabled and level != "privileged":
        yield (
            f"sidecar-init needs the capabilities NET_ADMIN and NET_RAW, and the"
            f" namespace {context.namespace} enforces Pod Security {level!r}, which"
            " refuses them: label it privileged, or set redirect.enabled: false"
        )
    if settings.redirect.tproxy:
        yield from _tproxy(context, settings, level)
    if settings.prometheus_annotations and (
        names := sorted(name for name in pod.annotations if name.startswith(_SCRAPE))
    ):
        yield (
            f"{', '.join(names)}: the application's own are left as they are; scrape"
            " port 15020 of the sidecar otherwise, as with a PodMonitor"
        )
    if not settings.native:
        yield from _not_native(pod, settings)
    if not settings.rewrite_probes and _asks_by_network(pod):
        yield "probes are left as they are: a strict port refuses them"
    if mapping_of(pod.spec, "resources"):
        yield (
            "spec.resources: what the pod as a whole asks for has to hold what the"
            " sidecar asks for, too"
        )
    grace = pod.grace_seconds
    if grace < settings.drain_seconds:
        yield (
            f"spec.terminationGracePeriodSeconds: {grace} s end before the sidecar has"
            f" drained, which may take {settings.drain_seconds} s"
        )


def _tproxy(
    context: InjectionContext, settings: InjectionSettings, level: str
) -> Iterator[str]:
    yield (
        "the sidecar runs as root, with the capability NET_RAW and no other, and its"
        f" inbound listener needs `transparent: true`: see that the ConfigMap"
        f" {settings.config_map} says so, or name another one, sidecar.mesh/config"
    )
    if not settings.redirect.enabled and level != "privileged":
        yield (
            f"the namespace {context.namespace} enforces Pod Security {level!r}, which"
            " refuses NET_RAW: label it privileged, or leave tproxy"
        )


def _not_native(pod: Pod, settings: InjectionSettings) -> Iterator[str]:
    if pod.spec.get("restartPolicy", "Always") != "Always":
        yield (
            "it ends only when the sidecar does: let its last container POST"
            " /quitquitquit to 127.0.0.1:15000, or use native sidecars"
            " (Kubernetes 1.29 or later)"
        )
    if settings.redirect.enabled and pod.of("initContainers"):
        yield (
            "its init containers run before the sidecar, without mTLS and without"
            " policy; native sidecars (Kubernetes 1.29 or later) run before them"
        )


def _asks_by_network(pod: Pod) -> bool:
    return any(
        mapping_of(probe, kind)
        for container in pod.containers
        for name in PROBES
        for probe in [container.section(name)]
        for kind in HANDLERS
    )
