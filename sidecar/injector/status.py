"""What injection writes down in the pod, so that it can be undone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, field, frozen

from sidecar import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FORMAT: Final = 1
ADDED: Final = (
    "containers",
    "initContainers",
    "volumes",
    "imagePullSecrets",
    "labels",
    "annotations",
)
"""The lists and mappings of a pod that something is added to."""

_MAPPINGS: Final = ("was", "handlers", "source")


class StatusError(ValueError):
    """The annotation is not what injection wrote."""


@frozen
class Status:
    """The annotation `sidecar.mesh/status`.

    Attributes:
        added: The names of what was added, by the list or mapping that has it.
        was: By JSON pointer within the pod, what was empty or null before.
        handlers: By list, container and probe (``containers/web/livenessProbe``), the
            handler that was there: ``{"httpGet": {...}}``.
        source: By the same, and by pointers, the text of a file that was replaced.
    """

    added: Mapping[str, list[str]]
    was: Mapping[str, Any] = field(factory=dict)
    handlers: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    source: Mapping[str, str] = field(factory=dict)

    def render(self) -> str:
        """Write the annotation; what is empty is left out."""
        value: dict[str, Any] = {"format": _FORMAT, "version": __version__}
        value |= {key: names for key, names in self.added.items() if names}
        value |= {key: mapping for key in _MAPPINGS if (mapping := getattr(self, key))}
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def parse_status(text: str) -> Status:
    """Read what `Status.render` wrote.

    Raises:
        StatusError: The text is anything else. No other exception escapes.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise StatusError("not JSON") from None
    if not isinstance(value, dict):
        raise StatusError("expected an object")
    if value.get("format") != _FORMAT:
        raise StatusError(f"expected format {_FORMAT}, that of this version")
    added = {key: _names(value, key) for key in ADDED}
    return Status(
        added,
        _object(value, "was", lambda each: each in (None, [], {})),
        _object(
            value, "handlers", lambda each: isinstance(each, dict) and len(each) == 1
        ),
        _object(value, "source", lambda each: isinstance(each, str)),
    )


def with_texts(text: str, source: Mapping[str, str]) -> str:
    """Give an annotation that also remembers texts of a file, where it has a use."""
    status = parse_status(text)
    of_use = {
        key: member
        for key, member in source.items()
        if key in status.handlers or key in status.was
    }
    return evolve(status, source={**status.source, **of_use}).render()


def _names(value: dict[str, Any], key: str) -> list[str]:
    names = value.get(key, [])
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    raise StatusError(f"{key}: expected a list of names")


def _object(
    value: dict[str, Any], key: str, sound: Callable[[Any], bool]
) -> dict[str, Any]:
    found = value.get(key, {})
    if isinstance(found, dict) and all(map(sound, found.values())):
        return found
    raise StatusError(f"{key}: expected an object of what injection replaced")
