"""A pod that has the sidecar, and has been changed since.

An API server asks once more where a webhook behind this one has changed the pod
(`reinvocationPolicy: IfNeeded`), whoever has a file may add to it, and a copy for
debugging has all containers, but says nothing of them. What comes out is
what injection would have made of the pod, had that been there from the beginning: the
probes of new containers ask the sidecar, what would pass by it is refused, and what has
come before it goes behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

from sidecar.config.app_probes import VARIABLE, AppProbesError, parse_app_probes
from sidecar.injector.additions import VOLUMES
from sidecar.injector.edits import Edits
from sidecar.injector.eligible import conflicts_in
from sidecar.injector.model import (
    INIT,
    INJECTED,
    SIDECAR,
    STATUS,
    Injection,
    NativeSidecar,
    Patched,
    Refused,
    Skipped,
)
from sidecar.injector.pod import LISTS, list_of
from sidecar.injector.probes import asks_us
from sidecar.injector.rewrites import put, rewrites_in, told, too_much_to_keep
from sidecar.injector.status import ADDED, Status, StatusError, parse_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.config.app_probes import AppProbe
    from sidecar.injector.model import InjectionSettings
    from sidecar.injector.operations import Tokens
    from sidecar.injector.pod import Container, Pod
    from sidecar.injector.probes import Rewrite

ALREADY: Final = Skipped("it has the sidecar already")

_ANNOTATIONS: Final = ("metadata", "annotations")


def inject_again(pod: Pod, settings: InjectionSettings) -> Injection:
    """Decide what a pod lacks that has the sidecar; skip one that lacks nothing.

    Args:
        pod: Has the sidecar.
        settings: Those of the pod.
    """
    text = pod.annotations.get(STATUS)
    try:
        status = _of_a_copy(pod) if text is None else parse_status(text)
        sidecar = _sidecar(pod, status)
        before, at = _told(sidecar)
    except ValueError as error:
        return Refused(
            (
                f"annotation {STATUS}: {error}: remove what injection has added, and it"
                " is injected anew",
            )
        )
    settings = _settings_of(sidecar, settings)
    others = [each for each in pod.containers if not _is_ours(each, status)]
    problems = [*conflicts_in(others, pod, settings)]
    rewrites = _rewrites(pod, others, problems) if settings.rewrite_probes else []
    told_now = told(rewrites, problems, before) if rewrites else ""
    if problems:
        return Refused(tuple(problems))
    edits = Edits(pod.raw)
    handlers = put(edits, rewrites)  # first, while the indexes are what they were
    if rewrites:
        _tell(edits, ("spec", sidecar.inside, sidecar.at, "env"), at, told_now)
    _arrange(edits, status, native=settings.native)
    if text is not None and not edits.operations:
        return ALREADY
    _write_down(edits, pod, _with_handlers(status, handlers))
    if problem := too_much_to_keep(pod.annotations, edits.pod):
        return Refused((problem,))
    return Patched(tuple(edits.operations))


def _with_handlers(status: Status, handlers: Mapping[str, Mapping[str, Any]]) -> Status:
    """Give the status that knows more; of those it knew the text is another now."""
    source = {k: v for k, v in status.source.items() if k not in handlers}
    return evolve(status, handlers={**status.handlers, **handlers}, source=source)


def _of_a_copy(pod: Pod) -> Status:
    """Give what injection had written down, but for what was replaced."""
    ours: dict[str, list[str]] = {
        inside: [
            name
            for name in (INIT, SIDECAR)
            if name in {each.name for each in pod.of(inside)}
        ]
        for inside in LISTS
    }
    ours["volumes"] = [name for name in VOLUMES if name in pod.volumes]
    return Status({**{key: [] for key in ADDED}, **ours})


def _write_down(edits: Edits, pod: Pod, status: Status) -> None:
    if STATUS in pod.annotations:
        edits.replace((*_ANNOTATIONS, STATUS), status.render())
        return
    added = dict(status.added)
    if INJECTED not in pod.labels:
        edits.add_member(("metadata", "labels"), INJECTED, "true")
        added["labels"] = [INJECTED]
    edits.ensure(_ANNOTATIONS)
    whole = evolve(status, added=added, was=edits.was)
    edits.add_member(_ANNOTATIONS, STATUS, whole.render())


def _sidecar(pod: Pod, status: Status) -> Container:
    for each in pod.containers:
        if each.name == SIDECAR and _is_ours(each, status):
            return each
    raise StatusError("it says that the sidecar is there, which it is not")


def _is_ours(container: Container, status: Status) -> bool:
    return container.name in status.added[container.inside]


def _told(sidecar: Container) -> tuple[Mapping[str, AppProbe], int | None]:
    """Give what the sidecar is told to ask, and which of its variables says so."""
    for at, each in enumerate(list_of(sidecar.raw, "env")):
        if isinstance(each, dict) and each.get("name") == VARIABLE:
            text = each.get("value")
            if not isinstance(text, str):
                raise AppProbesError(f"the variable {VARIABLE} is no text")
            return parse_app_probes(text), at
    return {}, None


def _settings_of(sidecar: Container, settings: InjectionSettings) -> InjectionSettings:
    """Give the settings that the pod was injected with, where it shows them."""
    native = sidecar.inside == "initContainers"
    settings = evolve(
        settings,
        native_sidecar=NativeSidecar.ALWAYS if native else NativeSidecar.NEVER,
    )
    security = sidecar.section("securityContext")
    user, group = security.get("runAsUser"), security.get("runAsGroup")
    return evolve(
        settings,
        # With TPROXY it is root, and so may others be: the rules know its group.
        proxy_uid=user if isinstance(user, int) and user else settings.proxy_uid,
        proxy_gid=group if isinstance(group, int) else settings.proxy_gid,
    )


def _rewrites(
    pod: Pod, containers: list[Container], problems: list[str]
) -> list[Rewrite]:
    found = rewrites_in(pod, containers, problems)
    return [each for each in found if not asks_us({each.kind: each.original})]


def _tell(edits: Edits, env: Tokens, at: int | None, text: str) -> None:
    if at is None:
        edits.add_items(env, [{"name": VARIABLE, "value": text}], first=False)
    else:
        edits.replace((*env, at, "value"), text)


def _arrange(edits: Edits, status: Status, *, native: bool) -> None:
    """See that our containers are where injection puts them."""
    for inside in LISTS:
        ours = status.added[inside]
        there: list[Any] = edits.pod["spec"].get(inside) or []
        first = native or inside == "containers"
        names = [each["name"] for each in there]
        own = [at for at, name in enumerate(names) if name in ours]
        places = range(len(own)) if first else range(len(names) - len(own), len(names))
        if own == [*places]:
            continue
        values = [there[at] for at in own]
        for at in reversed(own):
            edits.remove(("spec", inside, at))
        edits.add_items(("spec", inside), values, first=first)
