"""What readers take, in the words of JSON Schema, for those who ask without Python.

The Helm chart's `values.schema.json` is made of these. A shape takes all that its
reader takes; where JSON Schema cannot say the rule, it takes more, and
`sidecar check` has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

R = TypeVar("R", bound=Callable[..., Any])
Shape: TypeAlias = Mapping[str, Any]

_SHAPES: Final[WeakKeyDictionary[Callable[..., Any], Shape | Callable[[], Shape]]] = (
    WeakKeyDictionary()
)

TEXT: Final[Shape] = {"type": "string", "minLength": 1}


def shaped(read: R, shape: Shape | Callable[[], Shape]) -> R:
    """Say what a reader takes, or who knows when asked; gives the reader back."""
    _SHAPES[read] = shape
    return read


def shape_of(read: Callable[..., Any]) -> Shape:
    """Give what a reader takes.

    Raises:
        LookupError: Nobody has said it.
    """
    shape = _SHAPES.get(read)
    if shape is None:
        raise LookupError(f"{read.__qualname__}: its shape is not said")
    return shape() if callable(shape) else shape


def matching(pattern: str) -> Shape:
    """Text that a regular expression describes from its first to its last character.

    The expression is read by Go as well as here: no look-around, no references.
    """
    return {**TEXT, "pattern": f"^(?:{pattern})$"}
