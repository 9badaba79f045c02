from __future__ import annotations

from sidecar.redirect.doctor.finding import Check, Finding, Level


def test_what_is_fine_needs_no_reason_and_no_remedy() -> None:
    finding = Finding(Check.RULES, Level.OK, "10 rules")
    assert (finding.why, finding.remedy, finding.family) == ("", "", None)
