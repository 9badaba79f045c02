"""`sidecar policy test`: cases tried on a policy, all failures at once."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from sidecar.commands.policy_source import (
    NoConfigMap,
    read_config_maps,
    read_rulebook,
    rulebook_named,
)
from sidecar.config.load import read_policy_file
from sidecar.config.place import Finding
from sidecar.config.problems import ConfigError
from sidecar.config.yaml_document import parse_document
from sidecar.policytools.cases import suite_of
from sidecar.policytools.trial import try_cases, undecided, untaken
from sidecar.policytools.trial_text import books_of, trial_lines
from sidecar.policytools.trial_values import trial_value

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from sidecar.config.manifests import ConfigMap
    from sidecar.policytools.cases import SuiteReading
    from sidecar.policytools.rulebook import Rulebook
    from sidecar.policytools.trial import Trial


def main(arguments: argparse.Namespace) -> int:
    """Try the cases of the files that *arguments* name; give the exit status."""
    trials: list[Trial] = []
    problems: list[ConfigError] = []
    try:
        shelf = _Shelf(arguments.manifests, arguments.endpoint_socket)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    for path in arguments.files:
        try:
            reading = suite_of(parse_document(read_policy_file(path), str(path)))
            trials.append(try_cases(reading, shelf.book_for(path, reading)))
        except ConfigError as error:
            problems.append(error)
    if problems:
        # What decides several files is wrong once.
        print("\n".join(dict.fromkeys(map(str, problems))), file=sys.stderr)
        return 2
    if arguments.junit is not None and not _written(arguments.junit, trials):
        return 1
    if arguments.json:
        print(json.dumps(trial_value(trials), indent=2))
    else:
        print("\n".join(trial_lines(trials)))
    if any(trial.failed for trial in trials):
        return 1
    if arguments.require_coverage and _uncovered(trials):
        what = "every rule has to decide a case, and a case to take every route"
        print(f"--require-coverage: {what}", file=sys.stderr)
        return 1
    return 0


def _uncovered(trials: list[Trial]) -> bool:
    books = books_of(trials)
    return any(undecided(book, trials) or untaken(book, trials) for book in books)


def _written(path: Path, trials: list[Trial]) -> bool:
    # Not at the top: only who asks for it pays for XML.
    from sidecar.policytools.junit import junit_report  # noqa: PLC0415

    try:
        path.write_bytes(junit_report(trials))
    except OSError as error:
        print(f"--junit: {path}: {error.strerror}", file=sys.stderr)
        return False
    return True


class _Shelf:
    """What decides, read once for all files that name it."""

    def __init__(self, manifests: Path | None, endpoint_socket: str | None) -> None:
        self._maps: tuple[ConfigMap, ...] | None = None
        if manifests is not None:
            self._maps = read_config_maps(manifests)
        self._endpoint_socket = endpoint_socket
        self._books: dict[Path | str | None, Rulebook] = {}

    def book_for(self, path: Path, reading: SuiteReading) -> Rulebook:
        """Give what decides the cases of the file *path*.

        Raises:
            ConfigError: It cannot be had.
        """
        suite = reading.suite
        if self._maps is not None and suite.config is None and suite.policy is None:
            name = suite.config_map
            if name not in self._books:
                try:
                    self._books[name] = rulebook_named(self._maps, name)
                except NoConfigMap as error:
                    raise _no_config_map(reading, str(error)) from None
            return self._books[name]
        if suite.config_map is not None:
            what = "stands among manifests, got none (name them with --manifests)"
            raise _no_config_map(reading, what)
        source = path.parent / (suite.config or suite.policy or _beside(path))
        if source not in self._books:
            self._books[source] = read_rulebook(source, self._endpoint_socket)
        return self._books[source]


def _no_config_map(reading: SuiteReading, what: str) -> ConfigError:
    problem = reading.document.problem(Finding(("config_map",), what))
    return ConfigError(reading.document.source, (problem,))


def _beside(path: Path) -> str:
    whole = path.parent / "sidecar.yaml"
    return whole.name if whole.exists() else "policy.yaml"
