"""The diagnosis as people read it, and as programs do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.redirect.doctor.diagnosis import Diagnosis
    from sidecar.redirect.doctor.finding import Finding


def report_lines(diagnosis: Diagnosis) -> Iterator[str]:
    """Write a line for each finding, and one for what they come to."""
    for finding in diagnosis.findings:
        yield _line(finding)
    count = diagnosis.problems
    if count:
        yield f"{count} {'problem' if count == 1 else 'problems'}"
    elif diagnosis.proven:
        yield "no problem: what the pod sends is captured"
    else:
        yield "no problem found; that what the pod sends is captured was not proven"


def _line(finding: Finding) -> str:
    place = f"{finding.family} " if finding.family else ""
    parts = [finding.what]
    if finding.why:
        parts.append(finding.why)
    if finding.remedy:
        parts.append(f"remedy: {finding.remedy}")
    return f"{finding.level:<8} {place}{finding.check}: {'; '.join(parts)}"


def report_value(diagnosis: Diagnosis) -> dict[str, Any]:
    """Give the diagnosis as a value that JSON can carry; its keys are public."""
    return {
        "ok": diagnosis.problems == 0,
        "proven": diagnosis.proven,
        "findings": [
            {
                "check": str(each.check),
                "level": str(each.level),
                "family": None if each.family is None else str(each.family),
                "what": each.what,
                "why": each.why,
                "remedy": each.remedy,
            }
            for each in diagnosis.findings
        ],
    }
