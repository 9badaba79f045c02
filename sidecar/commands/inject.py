"""`sidecar inject` and `sidecar uninject`: the sidecar into manifests, and out again.

Their arguments are in `inject_parser`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sidecar.config.files import UnreadableError, read_bounded
from sidecar.config.problems import ConfigError
from sidecar.injector.document_values import DocumentError
from sidecar.injector.manifests import (
    Document,
    Manifests,
    Report,
    inject_manifests,
    parse_manifests,
    uninject_manifests,
)
from sidecar.injector.model import Patched, Refused, Skipped
from sidecar.injector.settings import load_settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence


_MOST: Final = 64 * 1024 * 1024
_STDIN: Final = Path("-")


def main(arguments: argparse.Namespace) -> int:
    """Do what *arguments* name; give the exit status."""
    files: list[list[Document]] = []
    settings, problems = None, list[str]()
    for path in arguments.files:
        try:
            files.append(_read(path))
        except DocumentError as error:
            problems.append(str(error))
    if arguments.settings is not None:
        try:
            settings = load_settings(arguments.settings)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 2
    documents = [document for each in files for document in each]
    manifests = (
        inject_manifests(documents, settings)
        if settings
        else uninject_manifests(documents)
    )
    for line in _said(manifests.reports):
        print(line, file=sys.stderr)
    if any(isinstance(report.result, Refused) for report in manifests.reports):
        print("nothing is written", file=sys.stderr)
        return 2
    text = _patches(manifests) if arguments.patch else _joined(files, manifests)
    return _write(arguments.output, text)


def _read(path: Path) -> list[Document]:
    """Read a file, or standard input.

    Raises:
        DocumentError: It cannot be read, or is no YAML.
    """
    name = "standard input" if path == _STDIN else str(path)
    try:
        data = _stdin() if path == _STDIN else read_bounded(path, _MOST)
    except UnreadableError as error:
        raise DocumentError(f"{name}: {error}") from None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        raise DocumentError(f"{name}, line {line}: not UTF-8: 0x{byte:02x}") from None
    return parse_manifests(text, name)


def _stdin() -> bytes:
    data = sys.stdin.buffer.read(_MOST + 1)
    if len(data) > _MOST:
        raise UnreadableError(f"larger than {_MOST // 1024 // 1024} MiB")
    return data


def _joined(files: Sequence[Sequence[Document]], manifests: Manifests) -> str:
    """Put the documents together again: each file as it was, files one by one."""
    texts, whole = iter(manifests.texts), ""
    for documents in files:
        text = "".join(next(texts) for _ in documents)
        if whole and not text.startswith("---"):
            text = f"---\n{text}"
        if whole and not whole.endswith("\n"):
            text = f"\n{text}"
        whole += text
    return whole


def _patches(manifests: Manifests) -> str:
    values = [_value(report) for report in manifests.reports]
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _value(report: Report) -> dict[str, Any]:
    workload, result = report.workload, report.result
    value: dict[str, Any] = {
        "file": report.document.file,
        "document": report.document.number,
        "kind": workload.kind,
        "namespace": workload.namespace,
        "name": workload.name,
    }
    if isinstance(result, Skipped):
        return {**value, "skipped": result.reason}
    return {**value, "patch": report.operations, "notes": report.notes}


def _said(reports: Sequence[Report]) -> Iterator[str]:
    if not reports:
        yield "there is no workload in it"
    for report in reports:
        document, result = report.document, report.result
        where = f"{document.file}, document {document.number}, {report.workload}"
        if isinstance(result, Patched):
            yield f"{where}: done"
            yield from (f"{where}: note: {note}" for note in report.notes)
        elif isinstance(result, Skipped):
            yield f"{where}: left as it is: {result.reason}"
        else:
            yield from (f"{where}: {problem}" for problem in result.problems)


def _write(path: Path | None, text: str) -> int:
    data = text.encode()
    if path is None:
        sys.stdout.buffer.write(data)
        return 0
    try:
        _replace(path, data)
    except OSError as error:
        print(f"{path}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _replace(path: Path, data: bytes) -> None:
    """Write all of it or leave what is there, which may be what went in.

    Raises:
        OSError: It cannot be written.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(data)  # a pipe, or a terminal
        return
    path = path.resolve()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        if path.exists():
            draft.chmod(path.stat().st_mode)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
