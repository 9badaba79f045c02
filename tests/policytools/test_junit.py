from __future__ import annotations

from xml.etree import ElementTree as ET

from sidecar.policytools.junit import junit_report
from tests.policytools.test_trial_text import ALLOWED, DENIED, trial


def test_cases_are_cases_and_failures_have_their_explanation() -> None:
    strange = ALLOWED.replace("good", "'<&\" ü ]]>'")
    written = junit_report([trial(strange, DENIED), trial(ALLOWED, source="b.yaml")])
    assert written.startswith(b"<?xml version='1.0' encoding='utf-8'?>\n<testsuites ")
    root = ET.fromstring(written)
    first, second = root
    assert first.attrib == {"name": "cases.yaml", "tests": "2", "failures": "1"}
    assert second.attrib == {"name": "b.yaml", "tests": "1", "failures": "0"}
    good, bad = first
    assert good.attrib == {"name": '<&" ü ]]>', "classname": "cases.yaml"}
    assert len(good) == 0
    (failure,) = bad
    assert failure.attrib == {"message": "expected allow, got deny by default"}
    assert failure.text is not None
    assert failure.text.startswith("cases.yaml:3: bad: expected allow")
    assert "rule 'try-out' allows this but is a dry run" in failure.text
