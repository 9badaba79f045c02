"""Places in a document, and what is found there.

A place is the way from the top to one value: keys of mappings and indexes of lists.
A finding is a sentence at a place, before anybody knows its file and line.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from typing import Final, Self, TypeAlias

from attrs import evolve, frozen

from sidecar.config.problems import Problem
from sidecar.config.wording import shown

_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_./-]{1,80}")


@frozen
class Index:
    """A step into a list; every other step is the key of a mapping."""

    at: int


Place: TypeAlias = tuple[Hashable, ...]


def written(place: Place) -> str:
    """Write a place as an operator reads it, as in ``inbound.listeners[0].listen``."""
    return "".join(_written(step) for step in place).removeprefix(".")


def _written(step: Hashable) -> str:
    if isinstance(step, Index):
        return f"[{step.at}]"
    if isinstance(step, (int, str)) and _PLAIN_KEY.fullmatch(str(step)):
        return f".{step}"
    return f"[{shown(step)}]"


@frozen
class Finding:
    """A sentence about the value at a place.

    Attributes:
        place: Relative to whatever was being read.
        what: The rule, and what stands there instead.
        line: Only where the place alone does not lead there.
    """

    place: Place
    what: str
    line: int | None = None

    def under(self, step: Hashable) -> Self:
        """The same finding, seen from one step further up."""
        return evolve(self, place=(step, *self.place))


def problems_under(step: Hashable, findings: Iterable[Finding]) -> tuple[Problem, ...]:
    """Say what was found below *step*, where nobody knows of a file and its lines."""
    above = (finding.under(step) for finding in findings)
    return tuple(Problem(written(each.place), each.what) for each in above)


class Invalid(ValueError):
    """A value breaks rules; carries one finding for each, relative to the value."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(finding.what for finding in self.findings))

    @classmethod
    def here(cls, what: str) -> Self:
        """The value itself breaks one rule."""
        return cls([Finding((), what)])

    @classmethod
    def on_line(cls, line: int, what: str) -> Self:
        """The text of a whole file breaks a rule on one of its lines."""
        return cls([Finding((), what, line)])
