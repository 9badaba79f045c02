"""Where `sidecar policy` finds what decides: in files, or in manifests."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecar.config.files import UnreadableError, read_bounded
from sidecar.config.load import read_policy_file
from sidecar.config.manifests import CONFIG, ConfigMap, find_config_maps
from sidecar.config.problems import ConfigError, Problem
from sidecar.config.wording import quoted, shown, suggestion
from sidecar.config.yaml_document import parse_document
from sidecar.policytools.rulebook import rulebook_of, rulebook_of_config_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.policytools.rulebook import Rulebook


class NoConfigMap(ValueError):
    """None of the ConfigMaps is meant; the message says which there are."""


_LARGEST: Final = 64 * 1024 * 1024
_PREFIX: Final = "configmap "
_STDIN: Final = "-"


def read_rulebook(path: Path, endpoint_socket: str | None) -> Rulebook:
    """Read `sidecar.yaml` and the policy that it names, or a policy alone.

    `-` is standard input; a relative path in that starts at the working directory.

    Raises:
        ConfigError: They will not do; it carries every problem.
    """
    if str(path) == _STDIN:
        data = _read_or_refuse(path)
        path = Path("standard input")
    else:
        data = read_policy_file(path)
    # The collector would go through a large policy again and again while it grows.
    gc.disable()
    try:
        return _rulebook(data, path, endpoint_socket)
    finally:
        gc.enable()


def _rulebook(data: bytes, path: Path, endpoint_socket: str | None) -> Rulebook:
    try:
        document = parse_document(data, str(path))
    except ConfigError:
        if not _are_manifests(data):
            raise
        what = "expected sidecar.yaml or policy.yaml, got manifests of Kubernetes"
        raise _error(str(path), f"{what} (name them with --manifests)") from None
    return rulebook_of(document, path.parent, endpoint_socket)


def read_config_maps(path: Path) -> tuple[ConfigMap, ...]:
    """Read the ConfigMaps with `sidecar.yaml` out of manifests; `-` is standard input.

    Raises:
        ConfigError: There are none, or the manifests cannot be read.
    """
    source = "standard input" if str(path) == _STDIN else str(path)
    data = _read_or_refuse(path)
    found = find_config_maps(data, source)
    ours = tuple(each for each in found if CONFIG in each.data)
    if not ours:
        raise _error(source, f"no ConfigMap among the manifests has {CONFIG!r}")
    return ours


def rulebook_named(maps: Sequence[ConfigMap], name: str | None) -> Rulebook:
    """Take what decides out of the one that is called *name*; or the only one.

    Raises:
        NoConfigMap: There is no such ConfigMap, or which one is not said.
        ConfigError: It will not do.
    """
    names = [each.name.removeprefix(_PREFIX) for each in maps]
    if name is None and len(maps) > 1:
        raise NoConfigMap(f"expected one of {quoted(names)}, got none")
    found = [each for each, at in zip(maps, names, strict=True) if name in {None, at}]
    if not found:
        what = f"expected one of {quoted(names)}, got {shown(name)}"
        raise NoConfigMap(f"{what}{suggestion(name, names)}")
    return rulebook_of_config_map(found[0])


def _read_or_refuse(path: Path) -> bytes:
    try:
        return _read(path)
    except UnreadableError as error:
        source = "standard input" if str(path) == _STDIN else str(path)
        raise _error(source, str(error)) from None


def read_text(path: Path) -> str:
    """Read a log; `-` is standard input.

    Raises:
        UnreadableError: It cannot be read.
    """
    return _read(path).decode(errors="replace")


def _read(path: Path) -> bytes:
    return _read_input() if str(path) == _STDIN else read_bounded(path, _LARGEST)


def _are_manifests(data: bytes) -> bool:
    try:
        return bool(find_config_maps(data, ""))
    except ConfigError:
        return False


def _read_input() -> bytes:
    data = sys.stdin.buffer.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise UnreadableError(f"larger than {_LARGEST // 1024**2} MiB")
    return data


def _error(source: str, what: str) -> ConfigError:
    return ConfigError(source, (Problem("", what, None, source),))
