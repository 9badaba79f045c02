"""One pure function from a pod and settings to a JSON patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

from sidecar.injector.additions import init_container, sidecar_container, volumes
from sidecar.injector.again import inject_again
from sidecar.injector.annotations import AnnotationsError, with_annotations
from sidecar.injector.edits import Edits
from sidecar.injector.eligible import conflicts, has_it, why_not
from sidecar.injector.model import (
    INJECTED,
    STATUS,
    TELEMETRY_PORT,
    Injection,
    InjectionContext,
    InjectionSettings,
    Patched,
    Refused,
    Skipped,
)
from sidecar.injector.notes import notes_on
from sidecar.injector.pod import Pod, PodError, names_of, read_pod
from sidecar.injector.rewrites import put, rewrites_in, told, too_much_to_keep
from sidecar.injector.status import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.injector.probes import Rewrite

PROMETHEUS: Final = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": str(TELEMETRY_PORT),
    "prometheus.io/path": "/metrics",
}
_DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
_ANNOTATIONS: Final = ("metadata", "annotations")


def inject(
    pod: Mapping[str, Any], context: InjectionContext, settings: InjectionSettings
) -> Injection:
    """Decide whether a pod gets the sidecar, and how.

    Args:
        pod: A pod, or the template of one; what it is made of is not trusted.
        context: What is known beside it.
        settings: Those of the mesh; annotations change them for this pod.

    Returns:
        A pod that has been patched is skipped, unless something was added to it
        since. No exception escapes.
    """
    try:
        read = read_pod(pod)
        if reason := why_not(read, context):
            return Skipped(reason)
    except PodError as error:
        return Refused(error.problems)
    except ValueError as error:
        return Refused((str(error),))
    if context.kubernetes_version is not None:
        settings = evolve(settings, kubernetes_version=context.kubernetes_version)
    problems: list[str] = []
    try:
        settings = with_annotations(
            settings, read.annotations, context.namespace_annotations
        )
    except AnnotationsError as error:
        problems += error.problems
    if has_it(read):
        return Refused(tuple(problems)) if problems else inject_again(read, settings)
    problems += conflicts(read, settings)
    rewrites = (
        rewrites_in(read, read.containers, problems) if settings.rewrite_probes else []
    )
    text = told(rewrites, problems)
    if problems:
        return Refused(tuple(problems))
    edits = _edited(read, settings, rewrites, text)
    if problem := too_much_to_keep(read.annotations, edits.pod):
        return Refused((problem,))
    return Patched(tuple(edits.operations), tuple(notes_on(read, context, settings)))


def _edited(
    pod: Pod, settings: InjectionSettings, rewrites: list[Rewrite], text: str
) -> Edits:
    edits = Edits(pod.raw)
    handlers = put(edits, rewrites)  # first, while the indexes are what they were
    added = _add_containers(edits, settings, text)
    added["volumes"] = _add_named(
        edits, "volumes", volumes(settings, _service_account(pod))
    )
    there = names_of(pod.spec, "imagePullSecrets")
    secrets = [
        {"name": name} for name in settings.image_pull_secrets if name not in there
    ]
    added["imagePullSecrets"] = _add_named(edits, "imagePullSecrets", secrets)
    added["labels"] = []
    if INJECTED not in pod.labels:
        edits.add_member(("metadata", "labels"), INJECTED, "true")
        added["labels"] = [INJECTED]
    annotations = _annotations(pod, settings)
    added["annotations"] = [*annotations]
    for name, value in annotations.items():
        edits.add_member(_ANNOTATIONS, name, value)
    edits.ensure(_ANNOTATIONS)
    status = Status(added, edits.was, handlers)
    edits.add_member(_ANNOTATIONS, STATUS, status.render())
    return edits


def _annotations(pod: Pod, settings: InjectionSettings) -> dict[str, str]:
    found: dict[str, str] = {}
    if settings.prometheus_annotations:
        found |= PROMETHEUS if not PROMETHEUS.keys() & pod.annotations.keys() else {}
    if not settings.native and _DEFAULT_CONTAINER not in pod.annotations:
        # Else `kubectl logs` and `kubectl exec` would take the first: the sidecar.
        found[_DEFAULT_CONTAINER] = pod.of("containers")[0].name
    return found


def _add_containers(
    edits: Edits, settings: InjectionSettings, app_probes: str
) -> dict[str, list[str]]:
    sidecar = sidecar_container(settings, app_probes)
    inits = [init_container(settings)] if settings.redirect.enabled else []
    if settings.native:
        inits.append(sidecar)
    else:
        edits.add_items(("spec", "containers"), [sidecar], first=True)
    if inits:
        # Without a native sidecar, nobody would carry what other init containers
        # send once the rules are in place: so the rules come last.
        edits.add_items(("spec", "initContainers"), inits, first=settings.native)
    return {
        "containers": [] if settings.native else [sidecar["name"]],
        "initContainers": [each["name"] for each in inits],
    }


def _add_named(edits: Edits, key: str, values: list[dict[str, Any]]) -> list[str]:
    if values:
        edits.add_items(("spec", key), values, first=False)
    return [value["name"] for value in values]


def _service_account(pod: Pod) -> str:
    name = pod.spec.get("serviceAccountName") or pod.spec.get("serviceAccount")
    return str(name or "default")
