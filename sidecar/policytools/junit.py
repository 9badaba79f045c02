"""What has become of cases, as programs that show tests read it.

The form is that of JUnit as Jenkins, GitLab and others take it: suites, cases, and the
text of a failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from sidecar.policytools.trial import explained
from sidecar.policytools.trial_text import failure_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.policytools.trial import Trial


def junit_report(trials: Sequence[Trial]) -> bytes:
    """Write what has become of cases as XML."""
    places = explained(trials)
    root = Element("testsuites", name="sidecar policy test")
    for trial in trials:
        counts = {"tests": str(len(trial.results)), "failures": str(len(trial.failed))}
        suite = SubElement(root, "testsuite", {"name": trial.source, **counts})
        for result in trial.results:
            names = {"name": result.case.name, "classname": trial.source}
            case = SubElement(suite, "testcase", names)
            if result.wrong is not None:
                failure = SubElement(case, "failure", message=result.wrong)
                lines = failure_lines(trial, result, explain=result.place in places)
                failure.text = "\n".join(lines)
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"
