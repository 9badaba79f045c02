"""What each key of a file of cases takes: connections, and what is to become of them."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from sidecar.config.address import AddressError, parse_address, parse_host_name
from sidecar.config.document import Items, Section
from sidecar.config.place import Finding, Invalid
from sidecar.config.problems import ConfigError
from sidecar.config.readers import choice, listed, mapping, parsed, read_path, read_text
from sidecar.config.section_rules import unique_names
from sidecar.config.sections import PORT
from sidecar.config.shape import TEXT, shape_of, shaped
from sidecar.config.structure import reader_of
from sidecar.config.wording import shown
from sidecar.policy.evaluate import Verdict
from sidecar.policytools.destination import parse_to
from sidecar.policytools.peer_text import PeerTextError, parse_peer
from sidecar.policytools.rulebook import DECIDING
from sidecar.telemetry.labels import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sidecar.config.document import Document
    from sidecar.config.model import Endpoint
    from sidecar.identity.peer import Peer
    from sidecar.policytools.entry import Address
    from sidecar.policytools.outbound import Names

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


class RouteExpectation(StrEnum):
    """What is to become of a connection that the application makes."""

    MTLS = "mtls"
    PLAINTEXT = "plaintext"
    DENY = "deny"


@frozen
class RouteCase:
    """A connection that the application makes, and what is to become of it.

    Attributes:
        name: As for `Case`.
        to: As the application calls it.
        expect: What is to become of the connection.
        resolve: The addresses of host names.
        peer: Who answers; None leaves that open.
        route: Which one is to be taken, or `BY_DEFAULT`; None leaves that open.
        reason: Why the handshake is to fail; None leaves that open.
    """

    name: str
    to: Endpoint
    expect: RouteExpectation
    resolve: Names = field(factory=dict)
    peer: Peer | None = None
    route: str | None = None
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

    cases: tuple[Case | RouteCase, ...]
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


def _read_server(value: object, _type: object = None) -> Peer:
    peer = _read_peer(value)
    if peer is None:
        raise Invalid.here(f"a server always shows a certificate, got {shown(value)}")
    return peer


def _parse_to(text: str) -> Endpoint:
    return parse_to(text, None)


def _parse_ip(text: str) -> str:
    return str(_parse_source(text))


def _check_reason(case: Case | RouteCase) -> Iterator[Finding]:
    if case.reason is not None and case.expect != Verdict.DENY:
        what = f"a handshake that fails is denied, and '{case.expect}' is expected"
        yield Finding(("reason",), what)


def _check_case(case: Case) -> Iterator[Finding]:
    yield from _check_reason(case)
    if case.reason is not None and case.rule is not None:
        what = "where the handshake fails no rule is asked (remove rule or reason)"
        yield Finding(("rule",), what)


def _check_suite(suite: Suite) -> Iterator[Finding]:
    named = [key for key in ("config", "policy", "config_map") if getattr(suite, key)]
    if len(named) > 1:
        what = f"cannot stand beside {' and '.join(named[1:])}: one of them decides"
        yield Finding((named[0],), what)
    yield from unique_names((case.name for case in suite.cases), "cases")


for _reader in (_read_name, _read_peer, _read_server):
    shaped(_reader, TEXT)

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

_ROUTE_CASE: Final[Any] = reader_of(
    RouteCase,
    {
        "name": _read_name,
        "to": parsed(_parse_to, "'host:port'"),
        "resolve": mapping(
            parsed(parse_host_name, "a host name"),
            listed(
                parsed(_parse_ip, "an IP address"), "addresses", "name at least one"
            ),
            "host names to addresses",
        ),
        "peer": _read_server,
        "expect": choice(RouteExpectation),
        "route": read_text,
        "reason": choice(Reason),
    },
    _check_reason,
)


def _read_case(value: object, _type: object = None) -> Case | RouteCase:
    outbound = isinstance(value, Section) and "to" in value
    case: Case | RouteCase = (_ROUTE_CASE if outbound else _CASE)(value, None)
    return case


shaped(_read_case, lambda: {"anyOf": [shape_of(_CASE), shape_of(_ROUTE_CASE)]})

_READ_SUITE: Final = reader_of(
    Suite,
    {
        "config": read_path,
        "policy": read_path,
        "config_map": read_text,
        "cases": listed(_read_case, "cases", "a file without any tests nothing"),
    },
    _check_suite,
)
