"""The values of one file, and where in it each of them stands."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Final, TypeAlias

from attrs import frozen

from sidecar.config.place import Finding, Index, Place, written
from sidecar.config.problems import Problem

_LONGEST: Final = 500
"""Characters of one sentence: it may quote a value, and a value may be a megabyte."""


class Section(dict[Hashable, Any]):
    """A mapping; `lines` has the line of each key, in order."""

    __slots__ = ("_positions", "lines")

    def __init__(self) -> None:
        self.lines: list[int] = []
        self._positions: dict[Hashable, int] | None = None

    def position(self, key: Hashable) -> int | None:
        """Where a key stands among the others, if it is here."""
        return self._index().get(key)

    def line(self, key: Hashable) -> int:
        """The line of a key that is here."""
        return self.lines[self._index()[key]]

    def _index(self) -> dict[Hashable, int]:
        # Made when somebody asks, which is when there is a problem.
        if self._positions is None:
            self._positions = {key: position for position, key in enumerate(self)}
        return self._positions


class Items(list[Any]):
    """A list; `lines` has the line of each item."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        self.lines: list[int] = []


Scalar: TypeAlias = str | int | float | bool | None
Value: TypeAlias = Scalar | Section | Items


@frozen
class Document:
    """One file.

    Attributes:
        source: The file, as the operator named it.
        root: The mapping at the top.
        findings: What is wrong with the text itself, though it could be read.
    """

    source: str
    root: Section
    findings: tuple[Finding, ...] = ()

    def problem(self, finding: Finding) -> Problem:
        """Say file and line of a finding."""
        line, _ = self._position(finding)
        what = finding.what
        if len(what) > _LONGEST:
            what = f"{what[:_LONGEST]}..."
        return Problem(written(finding.place), what, line or None, self.source)

    def problems(self, findings: Iterable[Finding]) -> tuple[Problem, ...]:
        """Say file and line of each finding, in the order of the file."""
        return tuple(map(self.problem, sorted(findings, key=self._position)))

    def _position(self, finding: Finding) -> tuple[int, list[int]]:
        line, steps = self._locate(finding.place)
        return finding.line or line, steps

    def _locate(self, place: Place) -> tuple[int, list[int]]:
        """Find the line of a place, or of the nearest one above it that is there."""
        line, steps = 0, list[int]()
        value: Value = self.root
        for step in place:
            if isinstance(value, Section):
                position = value.position(step)
                if position is None:
                    break
                line, value = value.lines[position], value[step]
            elif isinstance(value, Items) and isinstance(step, Index):
                position = step.at
                if position >= len(value):  # it was in the second of two equal keys
                    break
                line, value = value.lines[position], value[position]
            else:
                break
            steps.append(position)
        return line, steps
