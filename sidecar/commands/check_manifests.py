"""`sidecar check --manifests`: the files of the mesh in the manifests of a cluster."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from sidecar.config.files import UnreadableError, read_bounded
from sidecar.config.manifests import (
    CONFIG,
    ConfigMap,
    check_config_map,
    find_config_maps,
)
from sidecar.config.problems import ConfigError, Problem, headline, listing
from sidecar.injector.settings import parse_settings

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS: Final = "injection.yaml"
_LARGEST: Final = 64 * 1024 * 1024


@frozen
class _Verdict:
    name: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def main(path: Path, *, as_json: bool) -> int:
    """Check the ConfigMaps of a file, or of standard input; give the exit status.

    Args:
        path: Manifests; `-` is standard input.
        as_json: Whether to print JSON, for programs.
    """
    source = "standard input" if str(path) == "-" else str(path)
    try:
        verdicts = [_verdict(each) for each in _ours(path, source)]
    except ConfigError as error:
        verdicts = [_Verdict(source, error.problems, ())]
    sound = all(not verdict.problems for verdict in verdicts)
    if as_json:
        print(json.dumps([_value(verdict) for verdict in verdicts], indent=2))
    else:
        _print(verdicts)
    return 0 if sound else 2


def _ours(path: Path, source: str) -> list[ConfigMap]:
    try:
        data = _read_input() if str(path) == "-" else read_bounded(path, _LARGEST)
    except UnreadableError as error:
        raise ConfigError(source, (Problem("", str(error), None, source),)) from None
    found = find_config_maps(data, source)
    ours = [each for each in found if each.data.keys() & {CONFIG, SETTINGS}]
    if not ours:
        what = f"no ConfigMap among the manifests has {CONFIG!r} or {SETTINGS!r}"
        raise ConfigError(source, (Problem("", what, None, source),))
    return ours


def _read_input() -> bytes:
    data = sys.stdin.buffer.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise UnreadableError(f"larger than {_LARGEST // 1024**2} MiB")
    return data


def _verdict(config_map: ConfigMap) -> _Verdict:
    problems: list[Problem] = []
    notes: tuple[str, ...] = ()
    if CONFIG in config_map.data:
        try:
            notes = check_config_map(config_map)
        except ConfigError as error:
            problems += error.problems
    if SETTINGS in config_map.data:
        text = config_map.data[SETTINGS].encode(errors="surrogatepass")
        try:
            parse_settings(text, config_map.source(SETTINGS))
        except ConfigError as error:
            problems += error.problems
    return _Verdict(config_map.name, tuple(problems), notes)


def _print(verdicts: list[_Verdict]) -> None:
    for verdict in verdicts:
        if verdict.problems:
            lines = [headline(verdict.name, verdict.problems)]
            lines += [f"  {line}" for line in listing(verdict.problems)]
            print("\n".join(lines), file=sys.stderr)
        else:
            print(f"{verdict.name}: ok, its certificates are not here")
            print("".join(f"  note: {note}\n" for note in verdict.notes), end="")


def _value(verdict: _Verdict) -> dict[str, Any]:
    return {
        "file": verdict.name,
        "ok": not verdict.problems,
        "problems": [
            {
                "file": each.source,
                "line": each.line,
                "where": each.where,
                "what": each.what,
            }
            for each in verdict.problems
        ],
        "notes": list(verdict.notes),
    }
