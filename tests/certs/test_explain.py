"""What a peer would say."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from cryptography.x509.oid import NameOID

from sidecar.certs.conformance import CASES
from sidecar.certs.explain import Explanation, Finding, Role, explain
from sidecar.identity.leaf_rules import LEAF_RULES
from sidecar.identity.signer_rules import SIGNER_RULES
from sidecar.telemetry.labels import Reason
from tests.certs.worlds import NOW, built, by_name
from tests.identity import certificates as make

if TYPE_CHECKING:
    from sidecar.certs.cases.case import Case

NOON = make.NOON
OF_THE_LEAF = {Reason.NOT_AN_SVID, Reason.EXPIRED, Reason.NOT_YET_VALID}


def broken(explanation: Explanation) -> list[str]:
    return [finding.code for finding in explanation.findings if finding.found]


def test_a_good_leaf_keeps_every_rule() -> None:
    explanation = explain(make.leaf(), NOON)
    assert explanation.role is Role.LEAF
    assert broken(explanation) == []
    assert [finding.code for finding in explanation.findings] == [
        *(rule.code for rule in LEAF_RULES),
        "valid-now",
    ]
    assert explanation.reason is Reason.OK
    assert explanation.verdict == (
        f"a peer that trusts its CA knows it as {make.SPIFFE_ID}"
    )


def test_a_good_signer_keeps_every_rule_and_names_nobody() -> None:
    explanation = explain(make.signer(), NOON)
    assert explanation.role is Role.SIGNER
    assert broken(explanation) == []
    assert len(explanation.findings) == len(SIGNER_RULES) + 1
    assert explanation.reason is Reason.OK
    assert "names no peer itself" in explanation.verdict


def test_a_broken_rule_says_what_is_there_instead() -> None:
    explanation = explain(make.leaf(usage=None), NOON)
    assert (
        Finding(
            "key-usage-present", "X509-SVID 4.3", "there must be a key usage", "none"
        )
        in explanation.findings
    )
    assert explanation.reason is Reason.NOT_AN_SVID
    assert explanation.verdict == (
        "a peer refuses it (not_an_svid): there must be a key usage, got none "
        "(X509-SVID 4.3)"
    )


def test_all_broken_rules_are_found_and_the_first_decides() -> None:
    explanation = explain(make.build([], name=make.ACME), NOON)
    assert broken(explanation) == ["uri-san-one", "key-usage-present"]
    assert "exactly one URI SAN, got 0" in explanation.verdict


@pytest.mark.parametrize(
    ("now", "reason", "found"),
    [
        (NOON - dt.timedelta(seconds=60), Reason.NOT_YET_VALID, "one that begins at"),
        (NOON - dt.timedelta(seconds=59), Reason.CLOCK_SKEW, "one that begins at"),
        (NOON, Reason.OK, None),
        (NOON + make.HOUR, Reason.OK, None),
        (NOON + make.HOUR + dt.timedelta(seconds=1), Reason.CLOCK_SKEW, "one that end"),
        (NOON + make.HOUR + dt.timedelta(seconds=60), Reason.EXPIRED, "one that ended"),
    ],
)
def test_time_is_a_rule_too(
    now: dt.datetime, reason: Reason, found: str | None
) -> None:
    for certificate in (make.leaf(), make.signer()):
        explanation = explain(certificate, now)
        last = explanation.findings[-1]
        assert (last.code, last.clause) == ("valid-now", "RFC 5280 4.1.2.5")
        assert (last.found or "").startswith(found or "")
        assert (last.found is None) == (found is None)
    assert explain(make.leaf(), now).reason is reason
    in_time = reason is Reason.OK
    expected = Reason.OK if in_time else Reason.UNTRUSTED_CHAIN
    assert explain(make.signer(), now).reason is expected


@pytest.mark.parametrize(
    ("passed", "time"),
    [
        (-2 * make.HOUR, "valid in 2 hours, from 2030-01-01 12:00:00 UTC"),
        (make.HOUR / 4, "ends in 45 minutes"),
        (
            make.HOUR + dt.timedelta(days=3),
            "expired 3 days ago, 2030-01-01 13:00:00 UTC",
        ),
    ],
)
def test_where_in_its_life_it_is_is_said(passed: dt.timedelta, time: str) -> None:
    for certificate in (make.leaf(), make.signer(), make.leaf(usage=None)):
        assert explain(certificate, NOON + passed).time == time


def test_a_peer_that_refuses_it_says_for_how_long_it_has_been_over() -> None:
    verdict = explain(make.leaf(), NOON + make.HOUR + dt.timedelta(seconds=12)).verdict
    assert verdict == (
        "a peer refuses it (clock_skew): one that ended at 2030-01-01 13:00:00 UTC, "
        "12 seconds ago"
    )


def test_a_broken_rule_comes_before_the_time() -> None:
    explanation = explain(make.leaf(usage=None), NOON - make.HOUR)
    assert explanation.reason is Reason.NOT_AN_SVID
    assert broken(explanation) == ["key-usage-present", "valid-now"]


def test_a_bad_signer_carries_no_chain() -> None:
    explanation = explain(make.signer(usage=None), NOON)
    assert explanation.reason is Reason.UNTRUSTED_CHAIN
    assert explanation.verdict.startswith("a peer takes no chain with it (untrusted")


def test_a_certificate_without_a_spiffe_id_is_told_its_other_name() -> None:
    web = make.subject((NameOID.ORGANIZATIONAL_UNIT_NAME, "web"))
    verdict = explain(make.version_1(name=web), NOON).verdict
    assert verdict.endswith("; where identity.accept allows it, it is subject:OU=web")


def test_a_certificate_that_claims_one_has_no_other_name() -> None:
    san = make.sans("SPIFFE://example.org/a", dns=["a.org"])
    assert "identity.accept" not in explain(make.leaf(san=(san, True)), NOON).verdict


@pytest.mark.parametrize("fault", make.unreadable_extensions())
def test_unreadable_extensions_are_the_only_finding(fault: str) -> None:
    explanation = explain(make.unreadable_extensions()[fault], NOON)
    assert broken(explanation) == ["extensions-readable"]
    assert explanation.reason is Reason.NOT_AN_SVID
    assert "well formed" in explanation.verdict


@pytest.mark.parametrize("fault", make.unreadable_subjects())
def test_an_unreadable_subject_is_a_finding_where_it_matters(fault: str) -> None:
    certificate = make.unreadable_subjects(san=None)[fault]
    explanation = explain(certificate, NOON)
    assert "names-critical" in broken(explanation)
    assert "identity.accept" not in explanation.verdict


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_every_case_is_explained_as_it_is_judged(case: Case) -> None:
    explanation = explain(built(case).leaf, NOW)
    if case.reason in OF_THE_LEAF and explanation.role is Role.LEAF:
        assert explanation.reason is case.reason
    elif case.reason in OF_THE_LEAF:
        assert explanation.reason is Reason.UNTRUSTED_CHAIN
    else:
        assert explanation.reason is Reason.OK
