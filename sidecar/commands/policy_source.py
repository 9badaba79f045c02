"""Where `sidecar policy` finds what decides: in files, or in manifests."""

from __future__ import annotations

import sys
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
    from pathlib import Path

    from sidecar.policytools.rulebook import Rulebook

_LARGEST: Final = 64 * 1024 * 1024
_PREFIX: Final = "configmap "


def read_rulebook(path: Path, endpoint_socket: str | None) -> Rulebook:
    """Read `sidecar.yaml` and the policy that it names, or a policy alone.

    Raises:
        ConfigError: They will not do; it carries every problem.
    """
    document = parse_document(read_policy_file(path), str(path))
    return rulebook_of(document, path.parent, endpoint_socket)


def read_config_maps(path: Path) -> tuple[ConfigMap, ...]:
    """Read the ConfigMaps with `sidecar.yaml` out of manifests; `-` is standard input.

    Raises:
        ConfigError: There are none, or the manifests cannot be read.
    """
    stdin = str(path) == "-"
    source = "standard input" if stdin else str(path)
    try:
        data = _read_input() if stdin else read_bounded(path, _LARGEST)
    except UnreadableError as error:
        raise _error(source, str(error)) from None
    found = find_config_maps(data, source)
    ours = tuple(each for each in found if CONFIG in each.data)
    if not ours:
        raise _error(source, f"no ConfigMap among the manifests has {CONFIG!r}")
    return ours


def rulebook_named(maps: Sequence[ConfigMap], name: str | None) -> Rulebook:
    """Take what decides out of the one that is called *name*; or the only one.

    Raises:
        ConfigError: There is no such ConfigMap, or it will not do.
    """
    names = [each.name.removeprefix(_PREFIX) for each in maps]
    if name is None and len(maps) > 1:
        what = f"expected NAMESPACE/NAME of one of {quoted(names)}, got none"
        raise _error("--config-map", what)
    found = [each for each, at in zip(maps, names, strict=True) if name in {None, at}]
    if not found:
        what = f"expected one of {quoted(names)}, got {shown(name)}"
        raise _error("--config-map", f"{what}{suggestion(name, names)}")
    return rulebook_of_config_map(found[0])


def _read_input() -> bytes:
    data = sys.stdin.buffer.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise UnreadableError(f"larger than {_LARGEST // 1024**2} MiB")
    return data


def _error(source: str, what: str) -> ConfigError:
    return ConfigError(source, (Problem("", what, None, source),))
