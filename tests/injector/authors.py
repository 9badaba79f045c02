"""Manifests as people write them: any value, in any of the styles that YAML has."""

from __future__ import annotations

import json
from random import Random
from typing import Any

_REMARKS = ("# why not", "# - name: old", "#", "# é: {")


class _Author:
    """Writes one document, and decides on its style as it goes."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._indented = random.choice([True, False])
        self._step = random.choice([2, 2, 4])

    def _maybe(self, least: int = 4) -> bool:
        return self._random.randint(0, least) == 0

    def remarks(self, column: int) -> list[str]:
        """Write comments and empty lines, or none."""
        lines: list[str] = []
        while self._maybe(5):
            text = self._random.choice(["", *_REMARKS])
            lines.append(" " * column + text if text else "")
        return lines

    def trailing(self) -> str:
        return "  # so" if self._maybe(7) else ""

    def scalar(self, value: Any) -> str:
        if value is None:
            return self._random.choice(["", "null", "~"])
        if isinstance(value, str):
            plain = value if value.isalpha() and value not in _WORDS else None
            single = (
                "'" + value.replace("'", "''") + "'" if value.isprintable() else None
            )
            double = json.dumps(value, ensure_ascii=False)
            return self._random.choice(
                [each for each in (plain, single, double) if each]
            )
        return json.dumps(value)

    def flow(self, value: Any) -> str:
        pad = self._random.choice(["", "", " "])
        if isinstance(value, dict):
            inner = ", ".join(
                f"{self.key(key)}: {self.flow(each)}" for key, each in value.items()
            )
            return f"{{{pad}{inner}{pad}}}" if inner else f"{{{pad}}}"
        if isinstance(value, list):
            inner = ", ".join(map(self.flow, value))
            return f"[{pad}{inner}{pad}]" if inner else f"[{pad}]"
        return "null" if value is None else self.scalar(value)

    def key(self, key: str) -> str:
        return json.dumps(key) if self._maybe(9) or not key.isalpha() else key

    def lines(self, value: Any, column: int) -> list[str]:
        """Write a collection as a block that begins at *column*."""
        return (
            self._mapping(value, column)
            if isinstance(value, dict)
            else self._list(value, column)
        )

    def _mapping(self, value: dict[str, Any], column: int) -> list[str]:
        lines: list[str] = []
        for key, each in value.items():
            lines += self.remarks(column) if lines else []
            start = " " * column + self.key(key) + ":"
            if not isinstance(each, dict | list) or not each or self._maybe(8):
                text = (
                    self.flow(each) if each in ([], {}) or each else self.scalar(each)
                )
                block = isinstance(each, str) and each.isalpha() and self._maybe(6)
                if block and each not in _WORDS:
                    lines += [f"{start} |-", " " * (column + self._step) + each]
                else:
                    lines.append(f"{start} {text}".rstrip() + self.trailing())
                continue
            lines.append(start + self.trailing())
            lines += self.remarks(column)
            further = isinstance(each, dict) or self._indented
            lines += self.lines(each, column + (self._step if further else 0))
        return lines

    def _list(self, value: list[Any], column: int) -> list[str]:
        lines: list[str] = []
        for each in value:
            lines += self.remarks(column) if lines else []
            dash = " " * column + "-"
            if not isinstance(each, dict) or not each or self._maybe(6):
                lines.append(f"{dash} {self.flow(each)}{self.trailing()}")
            elif self._maybe(6):
                lines += [dash, *self.lines(each, column + 2)]
            else:
                first, *others = self.lines(each, column + 2)
                lines += [f"{dash} {first.lstrip(' ')}", *others]
        return lines


_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "Y", "N"}


def written(value: Any, seed: int) -> str:
    """Write *value* as a document, in YAML or in JSON."""
    random = Random(seed)
    form = random.choice(["block", "block", "block", "block", "flow", "json"])
    author = _Author(random)
    if form == "json":
        indent = random.choice([None, 1, 2, 4])
        text = json.dumps(value, indent=indent, ensure_ascii=False)
    elif form == "flow":
        text = author.flow(value)
    else:
        before = random.choice([[], ["# mine"], ["---"], ["# mine", "---"]])
        text = "\n".join([*before, *author.lines(value, 0), *author.remarks(0)])
    end = random.choice(["", "\n", "\n", "\n\n"])
    return (text + end).replace("\n", random.choice(["\n", "\n", "\r\n"]))
