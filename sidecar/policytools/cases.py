"""What each key of a file of cases takes: connections, and what is to become of them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from sidecar.config.address import AddressError, parse_address
from sidecar.config.document import Items
from sidecar.config.place import Finding, Invalid
from sidecar.config.problems import ConfigError
from sidecar.config.readers import choice, listed, parsed, read_path, read_text
from sidecar.config.section_rules import unique_names
from sidecar.config.sections import PORT
from sidecar.config.shape import TEXT, shaped
from sidecar.config.structure import reader_of
from sidecar.config.wording import shown
from sidecar.policy.evaluate import Verdict
from sidecar.policytools.peer_text import PeerTextError, parse_peer
from sidecar.policytools.rulebook import DECIDING
from sidecar.telemetry.labels import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sidecar.config.document import Document
    from sidecar.identity.peer import Peer
    from sidecar.policytools.entry import Address

BY_DEFAULT: Final = "default"
"""What `rule` says where none is to decide; so metrics call it, too."""


@frozen
class Case:
    """A connection, and what is to become of it.

    Attributes:
        name: What the case claims; no two of a file are called the same.
        peer: Who connects; None is unauthenticated.
        port: The destination port.
        expect: What is to become of the connection.
        source: Where it comes from; needed where a rule asks.
        rule: Which rule is to decide, or `BY_DEFAULT`; None leaves that open.
        reason: Why the handshake is to fail; None leaves that open.
    """

    name: str
    peer: Peer | None
    port: int
    expect: Verdict
    source: Address | None = None
    rule: str | None = None
    reason: Reason | None = None


@frozen
class Suite:
    """A file of cases, and what is to decide them.

    Attributes:
        cases: At least one.
        config: `sidecar.yaml`, beside the file.
        policy: A policy alone, beside the file.
        config_map: One of manifests, as NAMESPACE/NAME.
    """

    cases: tuple[Case, ...]
    config: Path | None = None
    policy: Path | None = None
    config_map: str | None = None


@frozen
class SuiteReading:
    """A sound file of cases, and where they stand in it."""

    document: Document
    suite: Suite


def suite_of(document: Document) -> SuiteReading:
    """Take the cases out of a document.

    Raises:
        ConfigError: It breaks rules; it carries every problem.
    """
    findings = [*document.findings]
    if "cases" not in document.root and document.root.keys() & DECIDING:
        what = "expected a file of cases, got what decides them (see --help)"
        raise ConfigError(document.source, (document.problem(Finding((), what)),))
    try:
        suite = _READ_SUITE(document.root, None)
    except Invalid as error:
        findings.extend(error.findings)
        suite = Suite(())
    if findings:
        raise ConfigError(document.source, document.problems(findings))
    return SuiteReading(document, suite)


def _read_name(value: object, _type: object = None) -> str:
    """Take a claim: one line, for reports and terminals."""
    name = read_text(value)
    if not name.isprintable():
        raise Invalid.here(f"expected one line that can be printed, got {shown(name)}")
    return name


def _read_peer(value: object, _type: object = None) -> Peer | None:
    """Take one name, or a list of those of one certificate."""
    given = value if isinstance(value, Items) else [value]
    texts = [text for text in given if isinstance(text, str) and text]
    if not texts or len(texts) < len(given):
        what = "expected a peer, as in 'spiffe://example.org/ns/shop/sa/api'"
        raise Invalid.here(f"{what}, got {shown(value)}")
    try:
        return parse_peer(texts)
    except PeerTextError as error:
        raise Invalid.here(str(error)) from None


def _parse_source(text: str) -> Address:
    if parse_address(text) is None:
        raise AddressError(f"expected an IP address, got {shown(text)}")
    return ip_address(text)


def _check_case(case: Case) -> Iterator[Finding]:
    if case.reason is not None and case.expect is not Verdict.DENY:
        what = f"a handshake that fails is denied, and '{case.expect}' is expected"
        yield Finding(("reason",), what)
    if case.reason is not None and case.rule is not None:
        what = "where the handshake fails no rule is asked (remove rule or reason)"
        yield Finding(("rule",), what)


def _check_suite(suite: Suite) -> Iterator[Finding]:
    named = [key for key in ("config", "policy", "config_map") if getattr(suite, key)]
    if len(named) > 1:
        what = f"cannot stand beside {' and '.join(named[1:])}: one of them decides"
        yield Finding((named[0],), what)
    yield from unique_names((case.name for case in suite.cases), "cases")


shaped(_read_name, TEXT)
shaped(_read_peer, TEXT)

_CASE: Final[Any] = reader_of(
    Case,
    {
        "name": _read_name,
        "peer": _read_peer,
        "port": PORT,
        "source": parsed(_parse_source, "an IP address, as in '10.0.0.7'"),
        "expect": choice(Verdict),
        "rule": read_text,
        "reason": choice(Reason),
    },
    _check_case,
)

_READ_SUITE: Final = reader_of(
    Suite,
    {
        "config": read_path,
        "policy": read_path,
        "config_map": read_text,
        "cases": listed(_CASE, "cases", "a file without any tests nothing"),
    },
    _check_suite,
)
