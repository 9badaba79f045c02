"""What a peer would say of a certificate, clause by clause.

The path to a root and revocation are not part of it: they depend on the bundle that
the peer has.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.config.model import Tls
from sidecar.config.moments import seen_from
from sidecar.identity.facts import Facts
from sidecar.identity.leaf_rules import LEAF_RULES
from sidecar.identity.names import CertificateNames
from sidecar.identity.reading import SvidError
from sidecar.identity.signer_rules import SIGNER_RULES
from sidecar.telemetry.labels import Reason
from sidecar.tls.validity import blamed_on_clocks, untimely

if TYPE_CHECKING:
    from cryptography import x509

    from sidecar.identity.rules import Rule

_VALIDITY: Final = "RFC 5280 4.1.2.5"

# What a peer allows for unless its tls.clock_skew_seconds says otherwise.
_SKEW: Final = dt.timedelta(seconds=Tls().clock_skew_seconds)


class Role(StrEnum):
    """What a certificate is for."""

    LEAF = "leaf"
    SIGNER = "signing certificate"


@frozen
class Finding:
    """One rule, and what the certificate has instead, or None if it keeps it."""

    code: str
    clause: str
    text: str
    found: str | None = None


@frozen
class Explanation:
    """Which rules a certificate keeps.

    Attributes:
        role: A CA is a signing certificate, anything else a leaf.
        findings: Every rule for that role, in the order in which a peer asks.
        reason: Why a peer refuses it, or `Reason.OK` if there is nothing in the
            certificate to refuse it for.
        verdict: The same as a sentence.
        time: Where in its life it is.
    """

    role: Role
    findings: tuple[Finding, ...]
    reason: Reason
    verdict: str
    time: str


def explain(certificate: x509.Certificate, now: dt.datetime) -> Explanation:
    """Explain *certificate* as of *now*; whatever it is, this gives a result."""
    try:
        facts = Facts.of(certificate)
    except SvidError as error:
        unreadable = Finding(error.code, error.clause, "must be readable", str(error))
        return Explanation(
            Role.LEAF,
            (unreadable,),
            Reason.NOT_AN_SVID,
            f"a peer refuses it ({Reason.NOT_AN_SVID}): {error}",
            _life(certificate, now),
        )
    if facts.ca:
        return _explain_signer(facts, now)
    return _explain_leaf(facts, now)


def _explain_leaf(facts: Facts, now: dt.datetime) -> Explanation:
    time, in_time = _validity(facts.certificate, now)
    broken = _first_broken(facts, LEAF_RULES)
    reason = Reason.NOT_AN_SVID if broken else time
    problem = broken or in_time.found
    return Explanation(
        Role.LEAF,
        (*(_finding(rule, facts) for rule in LEAF_RULES), in_time),
        reason,
        f"a peer refuses it ({reason}): {problem}{_other_names(facts)}"
        if problem
        else f"a peer that trusts its CA knows it as {facts.uris[0]}",
        _life(facts.certificate, now),
    )


def _explain_signer(facts: Facts, now: dt.datetime) -> Explanation:
    _, in_time = _validity(facts.certificate, now)
    problem = _first_broken(facts, SIGNER_RULES) or in_time.found
    reason = Reason.UNTRUSTED_CHAIN if problem else Reason.OK
    return Explanation(
        Role.SIGNER,
        (*(_finding(rule, facts) for rule in SIGNER_RULES), in_time),
        reason,
        f"a peer takes no chain with it ({reason}): {problem}"
        if problem
        else "it may sign for a trust domain; it names no peer itself (X509-SVID 3.2)",
        _life(facts.certificate, now),
    )


def _finding(rule: Rule, facts: Facts) -> Finding:
    try:
        found = rule.found(facts)
    except SvidError as error:
        found = str(error)
    return Finding(rule.code, rule.clause, rule.text, found)


def _first_broken(facts: Facts, rules: tuple[Rule, ...]) -> str | None:
    for rule in rules:
        try:
            rule.check(facts)
        except SvidError as error:
            return str(error)
    return None


def _validity(
    certificate: x509.Certificate, now: dt.datetime
) -> tuple[Reason, Finding]:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    missed = untimely(begin, end, now)
    reason, found = Reason.OK, None
    if missed is not None:
        reason = blamed_on_clocks(missed.reason, missed.offset, _SKEW)
        early = missed.reason is Reason.NOT_YET_VALID
        moment = f"begins at {begin:%F %T}" if early else f"ended at {end:%F %T}"
        found = f"one that {moment} UTC, {seen_from(begin if early else end, now)}"
    return reason, Finding("valid-now", _VALIDITY, "it must be valid now", found)


def _life(certificate: x509.Certificate, now: dt.datetime) -> str:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    missed = untimely(begin, end, now)
    return f"ends {seen_from(end, now)}" if missed is None else missed.detail


def _other_names(facts: Facts) -> str:
    if facts.spiffe_uris:
        return ""
    try:
        names = CertificateNames.of(facts.certificate)
    except SvidError:
        return ""
    return f"; where identity.accept allows it, it is {names}"
