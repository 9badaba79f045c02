"""The configuration, the policy and the certificates together, as one verdict."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from attrs import field, frozen

from sidecar.config.load import (
    ConfigReading,
    policy_in,
    read_config,
    read_policy_file,
)
from sidecar.config.material import (
    FileTrust,
    Material,
    read_file_trust,
    read_material,
)
from sidecar.config.material_notes import notes_on_material
from sidecar.config.model import Config, NameKind
from sidecar.config.notes import notes_on_config, notes_on_policy
from sidecar.config.place import Finding, Invalid
from sidecar.config.problems import ConfigError, Problem
from sidecar.config.wording import shown_path
from sidecar.policy.model import Policy

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sidecar.config.document import Document
    from sidecar.config.place import Place


@frozen
class Checked:
    """A configuration that will run.

    Attributes:
        config: What `sidecar.yaml` says.
        policy: The rules; where no file is named, none, and deny.
        material: Our certificate, and the roots of our peers; None where a Workload
            API will bring them.
        files: What files bring beside a Workload API.
        notes: What deserves a word though nothing is wrong, one line each.
        endpoint_socket: What the environment said of a Workload API.
        policy_digest: Tells what the policy was read from, to know it again.
        lines: Where in `sidecar.yaml` that stands which only OpenSSL can judge: by
            its keys, as in ``tls.groups``.
    """

    config: Config
    policy: Policy
    material: Material | None
    notes: tuple[str, ...]
    files: FileTrust = field(factory=FileTrust)
    endpoint_socket: str | None = None
    policy_digest: bytes = b""
    lines: Mapping[str, int] = field(factory=dict)


def check(
    path: Path,
    now: dt.datetime,
    endpoint_socket: str | None = None,
    known: Checked | None = None,
) -> Checked:
    """Load `sidecar.yaml` and every file that it names.

    Args:
        path: The file.
        now: The moment at which certificates must be valid.
        endpoint_socket: SPIFFE_ENDPOINT_SOCKET of the environment.
        known: What was loaded before. A policy whose file has not changed since is
            not parsed again, and has no notes: with a hundred thousand rules that
            takes seconds. Certificates that were good are not judged by their time.

    Raises:
        ConfigError: At least one of the files will not do; it carries the problems
            of all of them. No other exception escapes, whatever the files.
    """
    reading = read_config(path, endpoint_socket)
    findings = [*reading.findings]
    problems: tuple[Problem, ...] = ()
    policy, material = _PolicyFile(None, Policy(), b""), None
    files = FileTrust()
    try:
        policy = _read_policy(reading, known)
    except ConfigError as error:
        problems = error.problems
    except Invalid as error:
        findings.extend(error.findings)
    try:
        material, files = _read_files(reading, now, known)
    except Invalid as error:
        findings.extend(finding.under("identity") for finding in error.findings)
    if findings or problems:
        # What the rules miss in one identity, whoever loads its files misses too.
        located = reading.document.problems(dict.fromkeys(findings))
        raise ConfigError(str(path), (*located, *problems))
    notes = tuple(_notes(reading, policy.document, policy.policy, material, now))
    return Checked(
        reading.config,
        policy.policy,
        material,
        notes,
        files,
        endpoint_socket,
        policy.digest,
        _lines(reading),
    )


@frozen
class _PolicyFile:
    document: Document | None
    """None where it was not parsed."""
    policy: Policy
    digest: bytes


def _read_policy(reading: ConfigReading, known: Checked | None) -> _PolicyFile:
    path = reading.config.policy
    if path is None:
        return _PolicyFile(None, Policy(), b"")
    accept = reading.config.identity.accept
    if "identity" in reading.unreadable:
        accept = frozenset(NameKind)  # what is unknown is not held against a rule
    try:
        data = read_policy_file(path)
    except ConfigError as error:
        what = f"{shown_path(path)}: {error.problems[0].what}"
        raise Invalid([Finding(("policy",), what)]) from None
    digest = sha256(" ".join(sorted(accept)).encode() + b"\n" + data).digest()
    if known is not None and known.policy_digest == digest:
        return _PolicyFile(None, known.policy, digest)
    found = policy_in(data, path, accept)
    return _PolicyFile(found.document, found.policy, digest)


def _lines(reading: ConfigReading) -> dict[str, int]:
    additional = reading.config.identity.additional
    places: list[Place] = [
        ("tls", "groups"),
        ("identity", "certificate_chain"),
        ("identity", "workload_api"),
        *(("identity", "additional", name, "certificate_chain") for name in additional),
        *(("identity", "additional", name, "hint") for name in additional),
    ]
    problems = reading.document.problems(Finding(place, "") for place in places)
    return {each.where: each.line for each in problems if each.line is not None}


def _read_files(
    reading: ConfigReading, now: dt.datetime, known: Checked | None
) -> tuple[Material | None, FileTrust]:
    identity = reading.config.identity
    if "identity" in reading.unreadable:
        return None, FileTrust()
    if identity.from_files:
        before = None if known is None else known.material
        return read_material(identity, now, before), FileTrust()
    return None, read_file_trust(identity, now, None if known is None else known.files)


def _notes(
    reading: ConfigReading,
    document: Document | None,
    policy: Policy,
    material: Material | None,
    now: dt.datetime,
) -> Iterator[str]:
    config = reading.config
    notes: list[Finding] = [*notes_on_config(config)]
    if material is not None:
        on_material = notes_on_material(config.identity, material, now)
        notes.extend(note.under("identity") for note in on_material)
    yield from (note.located for note in reading.document.problems(notes))
    if document is not None:
        on_policy = notes_on_policy(config, policy)
        yield from (note.located for note in document.problems(on_policy))
