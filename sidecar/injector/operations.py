"""JSON pointers and patches (RFC 6901, 6902), as far as injection needs them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.injector.model import Operation

Tokens: TypeAlias = tuple[str | int, ...]
"""The way to a value; an int is the index in a list."""


def pointer(tokens: Tokens) -> str:
    """Write a way as a JSON pointer."""
    return "".join(
        "/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens
    )


def split(path: str) -> tuple[str, ...]:
    """Read a JSON pointer; indexes stay text."""
    return tuple(
        token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]
    )


def applied(document: Any, operations: Iterable[Operation]) -> Any:
    """Give a copy of *document* to which *operations* have been applied."""
    result = copy.deepcopy(document)
    for operation in operations:
        apply(result, operation)
    return result


def apply(document: Any, operation: Operation) -> None:
    """Apply one operation that `injector` made to what it was made for."""
    *above, last = split(operation["path"])
    parent = document
    for token in above:
        parent = parent[int(token) if isinstance(parent, list) else token]
    value = copy.deepcopy(operation.get("value"))
    if not isinstance(parent, list):
        if operation["op"] == "remove":
            del parent[last]
        else:
            parent[last] = value
    elif operation["op"] == "remove":
        del parent[int(last)]
    elif operation["op"] == "replace":
        parent[int(last)] = value
    else:
        parent.insert(len(parent) if last == "-" else int(last), value)
