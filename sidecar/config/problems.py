"""What is wrong with what the operator wrote, all of it at once.

A `Problem` is one sentence with its place; a `ConfigError` carries every problem of
one reading, in file order. How they look on a terminal is `sidecar.config.report`.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

_SHOWN: Final = 100
"""How many problems the text of an error lists: past that nobody reads on, and a
policy of 100,000 broken rules would fill a log."""


@frozen
class Problem:
    """One thing wrong with what an operator wrote, and where.

    Attributes:
        where: The place by its keys, as in ``inbound.ports.8080.mode``; empty when
            the whole file is meant.
        what: The rule that is broken, and what stands there instead.
        line: The line in the file, counted from 1, where it is known.
        source: The file, as the operator named it, where it is known.
    """

    where: str
    what: str
    line: int | None = None
    source: str | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what

    @property
    def located(self) -> str:
        """The sentence after its file and line, as compilers and editors write it."""
        if self.source is None:
            return str(self)
        line = "" if self.line is None else f":{self.line}"
        return f"{self.source}{line}: {self}"


class ConfigError(Exception):
    """What an operator wrote was refused; carries every problem, in file order.

    Attributes:
        source: The file that was asked for. Its problems may lie in files it names.
        problems: At least one.
    """

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        self.source = source
        self.problems = problems
        super().__init__("\n  ".join([headline(source, problems), *listing(problems)]))


def headline(source: str, problems: tuple[Problem, ...]) -> str:
    """Count the problems of *source*, as in ``sidecar.yaml: 2 problems``."""
    noun = "problem" if len(problems) == 1 else "problems"
    return f"{source}: {len(problems)} {noun}"


def listing(problems: tuple[Problem, ...]) -> list[str]:
    """Write one line for each problem, and one for all that are too many to list."""
    lines = [problem.located for problem in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"... and {len(problems) - _SHOWN} more")
    return lines
