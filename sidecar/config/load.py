"""From the files to the values; every problem of a file at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, frozen

from sidecar.config.config_rules import broken_rules, unknown_kind
from sidecar.config.files import UnreadableError, read_bounded
from sidecar.config.model import Config, Identity, NameKind
from sidecar.config.place import Finding, Index, Invalid
from sidecar.config.policy_sections import read_whole_policy
from sidecar.config.problems import ConfigError, Problem
from sidecar.config.section_values import parse_workload_api
from sidecar.config.sections import SECTIONS, read_whole_config
from sidecar.config.yaml_document import parse_document
from sidecar.policy.model import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sidecar.config.document import Document

_MIB: Final = 1024 * 1024
_LARGEST_CONFIG: Final = _MIB
_LARGEST_POLICY: Final = 64 * _MIB


def load_config(path: Path) -> Config:
    """Load `sidecar.yaml`; relative paths in it start at its directory.

    Raises:
        ConfigError: The file cannot be read or breaks rules; it carries every
            problem. No other exception escapes, whatever the file.
    """
    reading = read_config(path)
    if reading.findings:
        raise ConfigError(str(path), reading.problems)
    return reading.config


def load_policy(path: Path, accept: frozenset[NameKind]) -> Policy:
    """Load `policy.yaml`.

    Args:
        path: The file.
        accept: Which names of a peer's certificate count (`Identity.accept`).

    Raises:
        ConfigError: The file cannot be read or breaks rules; it carries every
            problem. No other exception escapes, whatever the file.
    """
    return read_policy(path, accept).policy


@frozen
class ConfigReading:
    """As much of a configuration as can be understood.

    Attributes:
        document: What the file says.
        config: The values; an unreadable section has its defaults.
        unreadable: The names of those sections.
        findings: What is wrong, in no order.
    """

    document: Document
    config: Config
    unreadable: frozenset[str]
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong, in the order of the file."""
        return self.document.problems(self.findings)


@frozen
class PolicyReading:
    """A sound policy, and the file that says it."""

    document: Document
    policy: Policy


def read_config(path: Path, endpoint_socket: str | None = None) -> ConfigReading:
    """Read `sidecar.yaml` as far as it goes.

    Args:
        path: The file.
        endpoint_socket: SPIFFE_ENDPOINT_SOCKET: the Workload API of an identity that
            names no other source (SPIFFE Workload Endpoint 4).

    Raises:
        ConfigError: It is no YAML file with a mapping at the top.
    """
    document = parse_document(_read_bytes(path, _LARGEST_CONFIG), str(path))
    return config_of(document, path.parent, endpoint_socket)


def config_of(
    document: Document, base: Path, endpoint_socket: str | None = None
) -> ConfigReading:
    """Take the configuration out of a document as far as it goes.

    Args:
        document: What the file says.
        base: Where relative paths in it start.
        endpoint_socket: As for `read_config`.
    """
    findings = [*document.findings]
    unreadable: frozenset[str] = frozenset()
    try:
        config = read_whole_config(document.root, None)
    except Invalid as error:
        findings.extend(error.findings)
        unreadable = frozenset(str(finding.place[0]) for finding in error.findings)
        config = _read_sections(document, unreadable)
    if "identity" not in unreadable:
        try:
            config = _located(config, endpoint_socket)
        except Invalid as error:
            findings.extend(error.findings)
            unreadable |= {"identity"}
    findings.extend(broken_rules(config, unreadable))
    config = _resolve(config, base)
    return ConfigReading(document, config, unreadable, tuple(findings))


def read_policy(path: Path, accept: frozenset[NameKind]) -> PolicyReading:
    """Read `policy.yaml`, for whoever has more to say about its places.

    Raises:
        ConfigError: As for `load_policy`.
    """
    return policy_in(read_policy_file(path), path, accept)


def read_policy_file(path: Path) -> bytes:
    """Read the bytes of `policy.yaml`.

    Raises:
        ConfigError: That cannot be done.
    """
    return _read_bytes(path, _LARGEST_POLICY)


def policy_in(data: bytes, path: Path, accept: frozenset[NameKind]) -> PolicyReading:
    """Take the policy out of the bytes of the file *path*.

    Raises:
        ConfigError: As for `load_policy`.
    """
    return policy_of(parse_document(data, str(path)), accept)


def policy_of(document: Document, accept: frozenset[NameKind]) -> PolicyReading:
    """Take the policy out of a document.

    Raises:
        ConfigError: It breaks rules; it carries every problem.
    """
    findings = [*document.findings]
    try:
        policy = read_whole_policy(document.root, None)
    except Invalid as error:
        findings.extend(error.findings)
        policy = Policy()
    findings.extend(_unknown_kinds(policy, accept))
    if findings:
        raise ConfigError(document.source, document.problems(findings))
    return PolicyReading(document, policy)


def _read_bytes(path: Path, most: int) -> bytes:
    source = str(path)
    try:
        return read_bounded(path, most)
    except UnreadableError as error:
        raise ConfigError(source, (Problem("", str(error), None, source),)) from None


def _read_sections(document: Document, unreadable: frozenset[str]) -> Config:
    sections: dict[str, Any] = {
        key: read(document.root[key], None)
        for key, read in SECTIONS.items()
        if key in document.root and key not in unreadable
    }
    sections.setdefault("identity", Identity())
    return Config(**sections)


def _located(config: Config, endpoint_socket: str | None) -> Config:
    """Let the environment say where the Workload API is, if nothing else does."""
    identity = config.identity
    if not endpoint_socket or identity.workload_api or identity.from_files:
        return config
    try:
        address = parse_workload_api(endpoint_socket)
    except ValueError as error:
        what = f"SPIFFE_ENDPOINT_SOCKET: {error}"
        raise Invalid([Finding(("identity",), what)]) from None
    return evolve(config, identity=evolve(identity, workload_api=address))


def _unknown_kinds(policy: Policy, accept: frozenset[NameKind]) -> Iterator[Finding]:
    for rule_at, rule in enumerate(policy.rules):
        for at, peer in enumerate(rule.peers):
            if what := unknown_kind(peer, accept):
                yield Finding(("rules", Index(rule_at), "peers", Index(at)), what)


def _resolve(config: Config, base: Path) -> Config:
    """Let relative paths start where the file is, wherever the process runs."""
    identity = config.identity
    beside = partial(_beside, base)
    return evolve(
        config,
        identity=evolve(
            identity,
            certificate_chain=beside(identity.certificate_chain),
            private_key=beside(identity.private_key),
            trust_bundles={
                trust_domain: base / path
                for trust_domain, path in identity.trust_bundles.items()
            },
            name_bundle=beside(identity.name_bundle),
            crl=beside(identity.crl),
            additional={
                name: evolve(
                    each,
                    certificate_chain=beside(each.certificate_chain),
                    private_key=beside(each.private_key),
                )
                for name, each in identity.additional.items()
            },
        ),
        policy=beside(config.policy),
    )


def _beside(base: Path, path: Path | None) -> Path | None:
    return None if path is None else base / path
