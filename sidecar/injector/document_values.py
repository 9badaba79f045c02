"""What the text of one document says, as Kubernetes understands it."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import yaml

from sidecar.injector.yaml_tree import roots

_MOST: Final = 1_000_000
"""Values of one document: with aliases, a short text can stand for any number."""

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_LOADER):  # type: ignore[misc] # which of the two it is
    """YAML 1.1 as kubectl reads it: no dates, and no numbers to the base of sixty."""


_NOT_OURS: Final = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int"}
_INTEGER: Final = re.compile(
    r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*)$"
)
_FLOAT: Final = re.compile(
    r"[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
    r"|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
)

_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in {*_NOT_OURS, "tag:yaml.org,2002:float"}
    ]
    for first, resolvers in _LOADER.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, [*"-+0123456789"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, [*"-+.0123456789"])


_OBJECT: Final = re.compile(r"\s*\{")
_DECODER: Final = json.JSONDecoder()


class DocumentError(ValueError):
    """The text says nothing that can be read; the message says why."""


def read_value(text: str) -> Any:
    """Read one document, in YAML or JSON.

    Raises:
        DocumentError: It is neither, or stands for too much.
    """
    if is_json(text):
        return json.loads(text)
    try:
        # It ends where PyYAML's own composer, in C, would run out of its stack.
        roots(text)
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a safe one
        _count(value, {})
        value = _written_out(value)
    except yaml.YAMLError as error:
        raise DocumentError(sentence(error)) from None
    except DocumentError:
        raise
    except RecursionError:
        raise DocumentError("nested too deeply") from None
    except (ValueError, OverflowError):
        raise DocumentError("it has a number that is too long") from None
    return value


def _written_out(value: Any) -> Any:
    """Give what aliases name to each of them, so that one can change alone."""
    if isinstance(value, dict):
        return {key: _written_out(part) for key, part in value.items()}
    return [_written_out(part) for part in value] if isinstance(value, list) else value


def is_json(text: str) -> bool:
    """Tell whether a document is JSON, which is read somewhat differently."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def json_starts(text: str) -> list[int]:
    """Find where each object of a row of them begins, as `jq` writes them.

    kubectl reads these, too. Nothing is found where the text is anything else.
    """
    starts: list[int] = []
    at = 0
    while match := _OBJECT.match(text, at):
        starts.append(match.end() - 1)
        try:
            _, at = _DECODER.raw_decode(text, starts[-1])
        except (ValueError, RecursionError):
            return []
    return [] if text[at:].strip() else starts


def sentence(error: yaml.YAMLError) -> str:
    """Say in one line what PyYAML says in several."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        where = f"line {error.problem_mark.line + 1}"
        return f"{where}: not YAML: {error.problem}"
    return f"not YAML: {str(error).partition(chr(10))[0]}"


def _count(value: Any, sizes: dict[int, int]) -> int:
    """Count the values that a value stands for, each alias being all it names."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in sizes:
        sizes[id(value)] = _MOST  # until it is known: within itself it has no end
        parts = value.values() if isinstance(value, dict) else value
        sizes[id(value)] = 1 + sum(_count(part, sizes) for part in parts)
    if sizes[id(value)] > _MOST:
        raise DocumentError(f"its aliases stand for more than {_MOST} values")
    return sizes[id(value)]
