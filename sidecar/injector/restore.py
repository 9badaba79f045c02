"""The way back: a pod as it was before injection, from what injection wrote down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sidecar.injector.edits import Edits
from sidecar.injector.model import (
    STATUS,
    Injection,
    Patched,
    Refused,
    Skipped,
)
from sidecar.injector.operations import Tokens, pointer
from sidecar.injector.pod import Container, Pod, PodError, mapping_of, read_pod
from sidecar.injector.probes import asks_us
from sidecar.injector.status import Status, StatusError, parse_status

if TYPE_CHECKING:
    from collections.abc import Mapping

_LISTS: Final = ("containers", "initContainers", "volumes", "imagePullSecrets")
_MAPPINGS: Final = ("labels", "annotations")


def uninject(pod: Mapping[str, Any]) -> Injection:
    """Decide how a pod, or the template of one, loses the sidecar again.

    What others have changed since then stays. No exception escapes.
    """
    try:
        read = read_pod(pod)
    except PodError as error:
        return Refused(error.problems)
    text = read.annotations.get(STATUS)
    if text is None:
        return Skipped("it was not injected")
    try:
        status = parse_status(text)
    except StatusError as error:
        return Refused((f"annotation {STATUS}: {error}",))
    return _Restoring(read, status).result()


class _Restoring:
    """One pod on its way back."""

    def __init__(self, pod: Pod, status: Status) -> None:
        self._pod = pod
        self._status = status
        self._edits = Edits(pod.raw)
        self._notes: list[str] = []
        self._source: dict[str, str] = {}

    def result(self) -> Patched:
        """Give the operations, and which text of a file each of them puts back."""
        for key in self._status.handlers:  # first, while the indexes are what they were
            self._restore(key)
        for inside in _LISTS:
            self._take_items(inside, {*self._status.added[inside]})
        for inside in _MAPPINGS:
            self._take_members(inside, {*self._status.added[inside]})
        self._prune(("metadata",))
        return Patched(
            tuple(self._edits.operations), tuple(self._notes), dict(self._source)
        )

    def _restore(self, key: str) -> None:
        """Put the application's own handler back."""
        inside, _, rest = key.partition("/")
        name, _, way = rest.partition("/")
        container = self._container(inside, name)
        above: Tokens = tuple(way.split("/"))
        probe: Mapping[str, Any] = container.raw if container else {}
        for token in above:
            probe = mapping_of(probe, str(token))
        if container is None or not asks_us(probe):
            self._notes.append(f"{key}: somebody has changed it since; left as it is")
            return
        ((kind, original),) = self._status.handlers[key].items()
        above = ("spec", inside, container.at, *above)
        self._edits.rename(above, "httpGet", kind, original)
        self._remember((*above, kind), key)

    def _container(self, inside: str, name: str) -> Container | None:
        found = (
            each
            for each in self._pod.containers
            if (each.inside, each.name) == (inside, name)
        )
        return next(found, None)

    def _take_items(self, inside: str, names: set[str]) -> None:
        path = ("spec", inside)
        items = self._pod.spec.get(inside) or []
        ours = [
            at
            for at, each in enumerate(items)
            if isinstance(each, dict) and each.get("name") in names
        ]
        for at in reversed(ours):
            self._edits.remove((*path, at))
        if ours:
            self._prune(path)

    def _take_members(self, inside: str, names: set[str]) -> None:
        path = ("metadata", inside)
        there = mapping_of(mapping_of(self._pod.raw, "metadata"), inside)
        if inside == "annotations":
            names = {*names, STATUS}
        ours = [name for name in there if name in names]
        for name in ours:
            self._edits.remove((*path, name))
        if ours:
            self._prune(path)

    def _prune(self, path: Tokens) -> None:
        """Leave nothing empty behind that was not empty, or null, before."""
        *above, last = path
        parent: Any = self._edits.pod
        for token in above:
            parent = parent[token]
        if parent.get(last) not in ([], {}):
            return
        was = self._status.was
        if (key := pointer(path)) not in was:
            self._edits.remove(path)
        elif was[key] is None:
            self._edits.replace(path, None)
            self._remember(path, key)

    def _remember(self, path: Tokens, key: str) -> None:
        if key in self._status.source:
            self._source[pointer(path)] = self._status.source[key]
