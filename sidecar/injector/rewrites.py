"""What the sidecar asks for the kubelet, of a pod as a whole, and where it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sidecar.config.app_probes import LARGEST, VARIABLE, render_app_probes
from sidecar.injector.model import PREFIX, STATUS
from sidecar.injector.probes import ProbeError, Rewrite, rewrites_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sidecar.config.app_probes import AppProbe
    from sidecar.injector.edits import Edits
    from sidecar.injector.pod import Container, Pod

_MOST_ANNOTATIONS: Final = 256 * 1024  # TotalAnnotationSizeLimitB, apimachinery
_REMEDY: Final = (
    "let them ask with less, as with shorter headers, or set the annotation"
    f" {PREFIX}rewrite-probes: disabled"
)


def rewrites_in(
    pod: Pod, containers: Iterable[Container], problems: list[str]
) -> list[Rewrite]:
    """Find what the sidecar has to perform; what cannot work goes to *problems*."""
    found: list[Rewrite] = []
    for container in containers:
        try:
            found += rewrites_of(container, pod.grace_seconds)
        except ProbeError as error:
            problems.append(str(error))
    return found


def told(
    rewrites: Iterable[Rewrite],
    problems: list[str],
    before: Mapping[str, AppProbe] | None = None,
) -> str:
    """Write what goes into the variable; nothing, where there is no probe.

    Args:
        rewrites: What is to be asked.
        problems: Hears of what is too much for a variable.
        before: What the sidecar has been told already.
    """
    probes = {**(before or {}), **{each.asked: each.probe for each in rewrites}}
    text = render_app_probes(probes) if probes else ""
    if len(text) > LARGEST:
        problems.append(
            f"{VARIABLE}: a process takes a variable of {LARGEST} bytes, and"
            f" what probes are to ask is {len(text)}: {_REMEDY}"
        )
    return text


def put(edits: Edits, rewrites: Iterable[Rewrite]) -> dict[str, Mapping[str, object]]:
    """Turn the handlers to the sidecar; give what was there, for `Status.handlers`."""
    handlers: dict[str, Mapping[str, object]] = {}
    for each in rewrites:
        edits.rename(each.above, each.kind, "httpGet", each.handler)
        handlers[each.key] = {each.kind: each.original}
    return handlers


def too_much_to_keep(before: Mapping[str, str], pod: Mapping[str, Any]) -> str | None:
    """Say that a pod has more annotations, once patched, than Kubernetes takes.

    Args:
        before: What it had; where that is too much already, Kubernetes says so.
        pod: The patched one.
    """
    size = _size(pod["metadata"]["annotations"])
    if size <= _MOST_ANNOTATIONS or _size(before) > _MOST_ANNOTATIONS:
        return None
    return (
        f"metadata.annotations: Kubernetes takes {_MOST_ANNOTATIONS} bytes of them, and"
        f" with the probes that {STATUS} keeps for `sidecar uninject` they are {size}:"
        f" {_REMEDY}"
    )


def _size(annotations: Mapping[str, str]) -> int:
    return sum(len(each.encode()) for each in (*annotations, *annotations.values()))
