"""All findings about a pod, and what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from sidecar.redirect.doctor.finding import Check, Finding, Level
from sidecar.redirect.doctor.judge_answers import judge_answers
from sidecar.redirect.doctor.judge_guards import judge_guards
from sidecar.redirect.doctor.judge_listeners import judge_listeners
from sidecar.redirect.doctor.judge_probes import judge_probes, judge_services
from sidecar.redirect.doctor.judge_rules import judge_rules
from sidecar.redirect.doctor.judge_users import judge_users

if TYPE_CHECKING:
    from collections.abc import Collection

    from sidecar.redirect.doctor.facts import Facts


@frozen
class Diagnosis:
    """What was found, in the order in which it is told."""

    findings: tuple[Finding, ...]

    @property
    def problems(self) -> int:
        """How many things are wrong."""
        return sum(each.level is Level.PROBLEM for each in self.findings)

    @property
    def proven(self) -> bool:
        """Whether in each family a connection had to be captured, and was."""
        tried = [
            each.level
            for each in self.findings
            if each.check is Check.CAPTURE and each.family is not None
        ]
        return set(tried) == {Level.OK}


def diagnose(facts: Facts, ignored: Collection[Check] = ()) -> Diagnosis:
    """Judge *facts*: first what is there, then what it does, then what it is for.

    What would be a problem of a check that is *ignored* is only noted.
    """
    findings = (
        *judge_rules(facts),
        *judge_answers(facts),
        *judge_listeners(facts),
        *judge_users(facts),
        *judge_probes(facts),
        *judge_services(facts),
        *judge_guards(facts),
    )
    return Diagnosis(
        tuple(
            evolve(each, level=Level.NOTE)
            if each.level is Level.PROBLEM and each.check in ignored
            else each
            for each in findings
        )
    )
