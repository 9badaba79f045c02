"""A pod, read as far as injection looks into it.

It comes from an API server or from a file, so nothing in it is taken for granted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from attrs import field, frozen

from sidecar.config.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LISTS: Final = ("containers", "initContainers")
GRACE_SECONDS: Final = 30
"""Where a pod says nothing: terminationGracePeriodSeconds."""
ListName: TypeAlias = Literal["containers", "initContainers"]


class PodError(ValueError):
    """The value is no pod; carries every problem.

    Attributes:
        problems: At least one.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


@frozen
class Container:
    """One container of a pod.

    Attributes:
        inside: In which list.
        at: Where in it.
        raw: All of it.
    """

    inside: ListName
    at: int
    name: str
    raw: Mapping[str, Any]

    @property
    def place(self) -> str:
        """How messages name it."""
        return f"spec.{self.inside}[{self.name}]"

    @property
    def lives_on(self) -> bool:
        """Whether it runs beside the application, and does not end before it."""
        return self.inside == "containers" or self.raw.get("restartPolicy") == "Always"

    def section(self, key: str) -> Mapping[str, Any]:
        """Give a mapping of it; an empty one, where it has none."""
        return mapping_of(self.raw, key)

    @property
    def ports(self) -> list[Mapping[str, Any]]:
        """What it says of its ports."""
        return [each for each in list_of(self.raw, "ports") if isinstance(each, dict)]


@frozen
class Pod:
    """A pod.

    Attributes:
        raw: All of it.
        containers: Of both lists; those that are no init containers come first.
    """

    raw: Mapping[str, Any]
    labels: Mapping[str, str] = field(factory=dict)
    annotations: Mapping[str, str] = field(factory=dict)
    spec: Mapping[str, Any] = field(factory=dict)
    containers: tuple[Container, ...] = ()

    def of(self, inside: ListName) -> list[Container]:
        """Give the containers of one list."""
        return [each for each in self.containers if each.inside == inside]

    @property
    def grace_seconds(self) -> int:
        """How long its containers may take to end."""
        seconds = self.spec.get("terminationGracePeriodSeconds")
        return seconds if isinstance(seconds, int) else GRACE_SECONDS

    @property
    def volumes(self) -> list[str]:
        """The names of its volumes."""
        return names_of(self.spec, "volumes")


def read_pod(raw: object) -> Pod:
    """Read a pod, or the template of one.

    Raises:
        PodError: What injection looks at has not the shape that Kubernetes gives it.
    """
    if not isinstance(raw, dict):
        raise PodError((f"expected a pod, or the template of one, got {shown(raw)}",))
    problems: list[str] = []
    metadata = _mapping(raw, "metadata", "metadata", problems)
    spec = _mapping(raw, "spec", "spec", problems)
    for key in ("securityContext", "nodeSelector", "os"):
        _mapping(spec, key, f"spec.{key}", problems)
    for key in ("volumes", "imagePullSecrets"):
        _list(spec, key, f"spec.{key}", problems)
    containers = tuple(
        container for inside in LISTS for container in _read(spec, inside, problems)
    )
    if not problems and not any(each.inside == "containers" for each in containers):
        problems.append("spec.containers: expected at least one container")
    labels = _texts(metadata, "labels", problems)
    annotations = _texts(metadata, "annotations", problems)
    if problems:
        raise PodError(tuple(problems))
    return Pod(raw, labels, annotations, spec, containers)


def _read(
    spec: Mapping[str, Any], inside: Any, problems: list[str]
) -> Iterator[Container]:
    names: set[str] = set()
    for at, raw in enumerate(_list(spec, inside, f"spec.{inside}", problems)):
        place = f"spec.{inside}[{at}]"
        if not isinstance(raw, dict):
            problems.append(f"{place}: expected a mapping, got {shown(raw)}")
            continue
        name = raw.get("name")
        if not isinstance(name, str) or not name or name in names:
            problems.append(
                f"{place}.name: expected a name of its own, got {shown(name)}"
            )
            continue
        names.add(name)
        for key in ("securityContext", "lifecycle", *PROBES):
            _mapping(raw, key, f"{place}.{key}", problems)
        for key in ("ports", "env"):
            _list(raw, key, f"{place}.{key}", problems)
        yield Container(inside, at, name, raw)


PROBES: Final = {
    "livenessProbe": "livez",
    "readinessProbe": "readyz",
    "startupProbe": "startupz",
}
"""Each probe of a container, and what is the last part of its path with us."""


def _mapping(
    above: Mapping[str, Any], key: str, place: str, problems: list[str]
) -> Mapping[str, Any]:
    value = above.get(key)
    if value is not None and not isinstance(value, dict):
        problems.append(f"{place}: expected a mapping, got {shown(value)}")
    return mapping_of(above, key)


def _list(
    above: Mapping[str, Any], key: str, place: str, problems: list[str]
) -> list[Any]:
    value = above.get(key)
    if value is not None and not isinstance(value, list):
        problems.append(f"{place}: expected a list, got {shown(value)}")
    return list_of(above, key)


def _texts(
    metadata: Mapping[str, Any], key: str, problems: list[str]
) -> Mapping[str, str]:
    found = _mapping(metadata, key, f"metadata.{key}", problems)
    problems += [
        f"metadata.{key}[{name}]: expected text, got {shown(each)} (put it in quotes)"
        for name, value in found.items()
        for each in (name, value)
        if not isinstance(each, str)
    ]
    return found


def mapping_of(above: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Give a mapping; an empty one, where there is none."""
    value = above.get(key)
    return value if isinstance(value, dict) else {}


def list_of(above: Mapping[str, Any], key: str) -> list[Any]:
    """Give a list; an empty one, where there is none."""
    value = above.get(key)
    return value if isinstance(value, list) else []


def names_of(above: Mapping[str, Any], key: str) -> list[str]:
    """Give the names of what is in a list."""
    return [
        each["name"]
        for each in list_of(above, key)
        if isinstance(each, dict) and isinstance(each.get("name"), str)
    ]
