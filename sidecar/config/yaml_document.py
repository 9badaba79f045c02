"""YAML text as plain values that remember their lines.

What is understood is the part of YAML 1.2 that JSON has: mappings, lists, text,
numbers, booleans and null by the core schema (10.3.2), without octal and
hexadecimal. So ``no``, ``on``, ``1:30`` and ``2026-01-01`` are text. Aliases, tags,
duplicate keys and a second document are problems.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from sidecar.config.document import Document, Section
from sidecar.config.place import Finding, Invalid
from sidecar.config.problems import ConfigError, Problem
from sidecar.config.wording import shown
from sidecar.config.yaml_builder import Builder

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE: Final = re.compile(  # YAML 1.2, 5.1
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_BARE_ADDRESS: Final = re.compile(r"[\s{,-]\[[0-9A-Fa-f:.]*\]:[0-9]")
"""An IPv6 endpoint without quotes: YAML sees a list."""


def parse_document(data: bytes, source: str, loader: Any = _LOADER) -> Document:
    """Parse the bytes of a YAML file whose top is a mapping.

    Args:
        data: Untrusted bytes.
        source: The file's name, for problems.
        loader: PyYAML's parser: the one in C where there is one.

    Raises:
        ConfigError: The bytes are no such file; it carries one problem. No other
            exception escapes, whatever the bytes.
    """
    builder = Builder()
    text = ""
    try:
        text = _decoded(data)
        root = builder.build(loader(text))
        if root is None:
            raise Invalid.here("the file is empty")
        if not isinstance(root, Section):
            raise Invalid.here(f"expected a mapping at the top, got {shown(root)}")
    except yaml.YAMLError as error:
        finding = _syntax(error, text)
    except Invalid as error:
        finding = error.findings[0]
    else:
        return Document(source, root, builder.duplicates())
    raise ConfigError(source, (Problem("", finding.what, finding.line, source),))


def _decoded(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        raise Invalid.on_line(line, f"not UTF-8: byte 0x{byte:02x}") from None
    if strange := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, strange.start()) + 1
        what = f"control character {strange.group()!r} is not allowed"
        raise Invalid.on_line(line, what)
    return text


def _syntax(error: yaml.YAMLError, text: str) -> Finding:
    """Say in one line what PyYAML says in several."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Finding((), f"not YAML: {str(error).partition(chr(10))[0]}")
    what = f"not YAML: {error.problem}"
    if error.context is not None:
        what = f"{what}, {error.context}"
    if error.context_mark is not None:
        what = f"{what} that begins on line {error.context_mark.line + 1}"
    mark, lines = error.problem_mark, text.splitlines()
    if mark.line >= len(lines):
        return Finding((), f"{what} (end of file)", len(lines))
    what = f"{what} (column {mark.column + 1})"
    if lines[mark.line][mark.column :].startswith("\t"):
        what = f"{what} (a tab: indent with spaces)"
    if _BARE_ADDRESS.search(lines[mark.line]):
        what = f"{what} (write an address that begins with '[' in quotes)"
    return Finding((), what, mark.line + 1)
