"""The text of one document with a patch applied to it, whatever the text is like.

Where it can be, it is edited in place; that the result says what it should is looked
up in the result. Otherwise it is written anew, and what is lost is said.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import yaml

from sidecar.injector.document_values import DocumentError, is_json, read_value
from sidecar.injector.model import STATUS
from sidecar.injector.operations import pointer, split
from sidecar.injector.splice import member_texts, spliced
from sidecar.injector.splice_render import PlainDumper
from sidecar.injector.splice_text import Unspliceable
from sidecar.injector.status import with_texts
from sidecar.injector.yaml_tree import Text, roots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sidecar.injector.model import Operation

_STATUS: Final = pointer(("metadata", "annotations", STATUS))


def rewritten(
    text: str,
    operations: Iterable[Operation],
    source: Mapping[str, str],
    wanted: Any,
) -> tuple[str, str]:
    """Give the text after *operations*, and a note where its form is lost.

    Args:
        text: One document.
        operations: Its patch.
        source: By the path of an operation, how its member was once written.
        wanted: What the text has to say in the end.
    """
    reason = "its text cannot be edited in place"
    for texts in (source, {}):
        try:
            result = spliced(text, operations, texts)
            if read_value(result) == wanted:
                return result, ""
        except Unspliceable as error:
            reason = str(error)
        except (DocumentError, yaml.YAMLError):
            pass  # the text around is such that what was added is read otherwise
    return _written(text, wanted), f"written anew, without its comments: {reason}"


def _written(text: str, wanted: Any) -> str:
    if is_json(text):
        return json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
    lines = Text(text)
    before = text[: lines.line_start(roots(text)[0][1].start)]
    return before + yaml.dump(
        wanted, Dumper=PlainDumper, sort_keys=False, allow_unicode=True
    )


def with_source(
    text: str, value: Any, operations: Iterable[Operation]
) -> list[Operation]:
    """Let the status of each workload remember the text that is replaced in it."""
    operations = [*operations]
    try:
        texts = member_texts(text, operations)
    except Unspliceable:
        return operations
    result: list[Operation] = []
    for operation in operations:
        result.append(operation)
        # It is added, or replaces the one of an injection before.
        if "value" in operation and operation["path"].endswith(_STATUS):
            above = operation["path"].removesuffix(_STATUS)
            own = {
                _key(value, path, above): member
                for path, member in texts.items()
                if path.startswith(f"{above}/")
            }
            status = with_texts(operation["value"], own)
            result[-1] = {**operation, "value": status}
    return result


def _key(document: Any, path: str, above: str) -> str:
    """Name a member as `Status` does: a handler by its container, else by pointer."""
    inner = split(path.removeprefix(above))
    if inner[:1] != ("spec",) or len(inner) < 4:
        return path.removeprefix(above)
    _, inside, at, *way, _ = inner
    spec = document
    for token in (*split(above), "spec"):
        spec = spec[int(token) if isinstance(spec, list) else token]
    return "/".join([inside, spec[inside][int(at)]["name"], *way])
