"""Manifests in, manifests with the sidecar out, or without it again.

Pure: from texts to texts. Documents that have no workload, or one that is left as it
is, come out byte for byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml
from attrs import evolve, field, frozen

from sidecar.injector.document_values import (
    DocumentError,
    json_starts,
    read_value,
    sentence,
)
from sidecar.injector.model import Injection, InjectionContext, Patched, Skipped
from sidecar.injector.operations import applied, pointer
from sidecar.injector.patch import inject
from sidecar.injector.restore import uninject
from sidecar.injector.rewriting import rewritten, with_source
from sidecar.injector.workloads import Workload, namespaces_of, workloads_of
from sidecar.injector.yaml_tree import Text, roots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sidecar.injector.model import InjectionSettings, Operation


_UNKNOWN: Final = Skipped(
    "its kind is not known here; its pods get the sidecar from the webhook alone"
)


@frozen
class Document:
    """One document of a file.

    Attributes:
        number: Which one, counted from 1.
        line: Where it begins, counted from 1.
        text: All of the file that is its own.
        value: What it says.
    """

    file: str
    number: int
    line: int
    text: str
    value: Any = field(repr=False)


@frozen
class Report:
    """What became of one workload.

    Attributes:
        operations: Of the whole document, not of the pod.
        notes: Those of the injection, and what is to be said of the text.
    """

    document: Document
    workload: Workload
    result: Injection
    operations: tuple[Operation, ...] = ()
    notes: tuple[str, ...] = ()


@frozen
class Manifests:
    """What came out: a text for each document, and what became of each workload."""

    texts: tuple[str, ...]
    reports: tuple[Report, ...]


def parse_manifests(text: str, file: str) -> list[Document]:
    """Take a file apart into its documents; together they are the file.

    Raises:
        DocumentError: It is not YAML; the message names the line, of each document
            that has a fault of its own.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(mark)
    starts = _starts(text, file)
    lines = Text(text)
    documents: list[Document] = []
    problems: list[str] = []
    for number, start in enumerate(starts, 1):
        first = start if number > 1 else 0
        last = starts[number] if number < len(starts) else len(text)
        part = text[first:last]
        line = lines.line_number(start)
        try:
            value = read_value(part)
        except DocumentError as error:
            where = f"{file}, document {number}, that begins on line {line}"
            problems.append(f"{where}: {error}")
            continue
        own = mark + part if number == 1 else part
        documents.append(Document(file, number, line, own, value))
    if problems:
        raise DocumentError("\n".join(problems))
    return documents or [Document(file, 1, 1, mark + text, None)]


def _starts(text: str, file: str) -> list[int]:
    try:
        return [start for start, _ in roots(text)]
    except yaml.YAMLError as error:
        if found := json_starts(text):
            return found
        hint = " (a template of Helm? give what `helm template` prints)"
        what = sentence(error) + hint * ("{{" in text)
        raise DocumentError(f"{file}, {what}") from None
    except RecursionError:
        raise DocumentError(f"{file}: nested too deeply") from None


def inject_manifests(
    documents: Iterable[Document], settings: InjectionSettings
) -> Manifests:
    """Put the sidecar into every workload that does not say otherwise."""
    documents = [*documents]
    namespaces = {
        name: metadata
        for document in documents
        for name, metadata in namespaces_of(document.value)
    }

    def decide(workload: Workload) -> Injection:
        return inject(workload.pod, _context(workload, namespaces), settings)

    return _edited(documents, decide)


def uninject_manifests(documents: Iterable[Document]) -> Manifests:
    """Take the sidecar out of every workload that has it."""
    return _edited(documents, lambda workload: uninject(workload.pod))


def _context(
    workload: Workload, namespaces: Mapping[str, Mapping[str, Any]]
) -> InjectionContext:
    """Give what is known: a Namespace in one of the files counts as one of a cluster."""
    metadata = namespaces.get(workload.namespace, {})
    texts = {
        key: {
            name: text
            for name, text in (metadata.get(key) or {}).items()
            if isinstance(text, str)
        }
        for key in ("labels", "annotations")
        if isinstance(metadata.get(key) or {}, dict)
    }
    return InjectionContext(
        workload.namespace,
        texts.get("labels", {}),
        texts.get("annotations", {}),
        enabled=True,
    )


def _edited(
    documents: Iterable[Document], decide: Callable[[Workload], Injection]
) -> Manifests:
    texts: list[str] = []
    reports: list[Report] = []
    for document in documents:
        found = [
            _report(document, each, decide) for each in workloads_of(document.value)
        ]
        text, note = _rewritten(document, found)
        if note:
            found = [
                evolve(each, notes=(*each.notes, note)) if each.operations else each
                for each in found
            ]
        texts.append(text)
        reports += found
    return Manifests(tuple(texts), tuple(reports))


def _report(
    document: Document, workload: Workload, decide: Callable[[Workload], Injection]
) -> Report:
    result = decide(workload) if workload.known else _UNKNOWN
    if not isinstance(result, Patched):
        return Report(document, workload, result)
    above = pointer(workload.way)
    operations = tuple(
        {**each, "path": above + each["path"]} for each in result.operations
    )
    return Report(document, workload, result, operations, result.notes)


def _rewritten(document: Document, reports: list[Report]) -> tuple[str, str]:
    """Give the text of a document, and what is to be said of it."""
    operations = [each for report in reports for each in report.operations]
    if not operations:
        return document.text, ""
    source = {
        pointer(report.workload.way) + path: text
        for report in reports
        if isinstance(report.result, Patched)
        for path, text in report.result.source.items()
    }
    mark = "\ufeff" if document.text.startswith("\ufeff") else ""
    text = document.text.removeprefix(mark)
    operations = with_source(text, document.value, operations)
    wanted = applied(document.value, operations)
    text, note = rewritten(text, operations, source, wanted)
    return mark + text, note
