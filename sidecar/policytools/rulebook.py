"""What is asked: a policy, compiled as `sidecar run` has it, and where its rules stand."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from sidecar.config.load import (
    config_of,
    policy_in,
    policy_of,
    read_policy_file,
)
from sidecar.config.manifests import read_config_map
from sidecar.config.model import NameKind
from sidecar.config.place import Finding, Index, written
from sidecar.config.problems import ConfigError, Problem
from sidecar.config.sections import SECTIONS
from sidecar.policy.compile import compile_policy
from sidecar.policy.model import Action, Policy

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from pathlib import Path

    from sidecar.config.document import Document
    from sidecar.config.load import ConfigReading, PolicyReading
    from sidecar.config.manifests import ConfigMap
    from sidecar.config.model import Config
    from sidecar.identity.peer import Peer
    from sidecar.policy.compile import CompiledPolicy, RuleIndex

NOWHERE: Final = (4, 0)
"""Stands for the source, as rules compare it, where none asks for one."""

DECIDING: Final = frozenset({"rules", "default", "identity", "inbound", "outbound"})
"""Keys by which a file that decides is known from others."""

_OTHERS: Final = {
    "kind": "a manifest of Kubernetes (name it with --manifests)",
    "cases": "a file of cases (try them: sidecar policy test)",
}
"""What is easily taken for one of them, by a key that it has."""


@frozen
class Location:
    """Where something stands: by its keys, and by file and line where it has them."""

    where: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        return self.where if self.file is None else f"{self.file}:{self.line}"

    @property
    def value(self) -> dict[str, str | int | None]:
        """The same as programs read it."""
        return {"file": self.file, "line": self.line}


@frozen(eq=False)
class Rulebook:
    """What decides.

    Attributes:
        source: The file that was named.
        policy: The rules, compiled.
        document: Where they stand; None where the configuration names no policy, and
            everything is denied.
        config: What stands around the policy; None where that alone is known.
        config_document: Where that stands.
    """

    source: str
    policy: CompiledPolicy
    document: Document | None = None
    config: Config | None = None
    config_document: Document | None = None

    def rule_at(self, number: int) -> Location:
        """Say where the rule *number* stands."""
        return location_in(self.document, "rules", Index(number))

    def rule_place(self, number: int) -> str:
        """Write where the rule *number* stands, as in ``policy.yaml:3``."""
        return str(self.rule_at(number))

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The number of every rule, by its name."""
        return {rule.name: at for at, rule in enumerate(self.policy.rules)}

    def number_of(self, name: str) -> int:
        """Give the number of the rule that is called *name*."""
        return self.numbers[name]

    @cached_property
    def _with_sources(self) -> tuple[Sequence[int], RuleIndex | None]:
        rules = self.policy.rules
        numbers = [at for at, each in enumerate(rules) if each.sources is not None]
        anywhere = (
            evolve(rules[at], action=Action.ALLOW, dry_run=False, sources=None)
            for at in numbers
        )
        return numbers, compile_policy(Policy(rules=tuple(anywhere))).allow

    def first_with_sources(self, peer: Peer | None, port: int) -> int | None:
        """Give the first rule for which the source matters to this peer and port."""
        numbers, index = self._with_sources
        at = None if index is None else index.first(peer, port, NOWHERE)
        return None if at is None else numbers[at]

    def route_at(self, number: int) -> Location:
        """Say where the route *number* stands."""
        return location_in(self.config_document, "outbound", "routes", Index(number))

    def route_place(self, number: int) -> str:
        """Write where the route *number* stands, as in ``sidecar.yaml:12``."""
        return str(self.route_at(number))


def location_in(document: Document | None, *place: Hashable) -> Location:
    """Say where a place of a document is."""
    if document is None:
        return Location(written(place))
    problem = document.problem(Finding(place, ""))
    return Location(problem.where, problem.source, problem.line)


def rulebook_of(
    document: Document, base: Path, endpoint_socket: str | None = None
) -> Rulebook:
    """Take what decides out of a document: a configuration, or a policy alone.

    Args:
        document: Either of them; its keys tell which.
        base: Where the path of a configuration's policy starts.
        endpoint_socket: SPIFFE_ENDPOINT_SOCKET of the environment.

    Raises:
        ConfigError: It breaks rules, or the policy that it names does; it carries
            every problem.
    """
    keys = document.root.keys()
    if not keys & DECIDING:
        for other, got in _OTHERS.items():
            if other in keys:
                what = f"expected sidecar.yaml or policy.yaml, got {got}"
                problem = document.problem(Finding((), what))
                raise ConfigError(document.source, (problem,))
    if not keys & SECTIONS.keys():
        reading = policy_of(document, frozenset(NameKind))
        return _ruled(document.source, None, reading)
    config = config_of(document, base, endpoint_socket)
    return _ruled(config.document.source, *_with_policy(config))


def rulebook_of_config_map(config_map: ConfigMap) -> Rulebook:
    """Take what decides out of a ConfigMap that has `sidecar.yaml`.

    Raises:
        ConfigError: As for `rulebook_of`.
    """
    return _ruled(config_map.name, *read_config_map(config_map))


def _with_policy(config: ConfigReading) -> tuple[ConfigReading, PolicyReading | None]:
    findings, problems, policy = [*config.findings], tuple[Problem, ...](), None
    path, accept = config.config.policy, config.config.identity.accept
    if "identity" in config.unreadable:
        accept = frozenset(NameKind)  # what is unknown is not held against a rule
    if path is not None:
        try:
            policy = policy_in(read_policy_file(path), path, accept)
        except ConfigError as error:
            problems = error.problems
    if findings or problems:
        located = config.document.problems(findings)
        raise ConfigError(config.document.source, (*located, *problems))
    return config, policy


def _ruled(
    source: str, config: ConfigReading | None, policy: PolicyReading | None
) -> Rulebook:
    return Rulebook(
        source,
        compile_policy(Policy() if policy is None else policy.policy),
        None if policy is None else policy.document,
        None if config is None else config.config,
        None if config is None else config.document,
    )
