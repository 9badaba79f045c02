"""Mappings of a document as classes of the model.

cattrs makes the objects; this module turns what it raises into findings at their
places. Which reader takes which key is said in `sidecar.config.sections` and
`sidecar.config.policy_sections`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from attrs import NOTHING, AttrsInstance, fields
from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn_from_attrs, override

from sidecar.config.document import Section
from sidecar.config.place import Finding, Invalid
from sidecar.config.shape import Shape, shape_of, shaped
from sidecar.config.wording import shown, suggestion

if TYPE_CHECKING:
    from sidecar.config.readers import Reader

T = TypeVar("T", bound="AttrsInstance")
Rule: TypeAlias = Callable[[T], Iterable[Finding]]

_CONVERTER: Final = Converter(detailed_validation=True, forbid_extra_keys=True)


def reader_of(
    made: type[T], readers: Mapping[str, Reader[Any]], rule: Rule[T] | None = None
) -> Reader[T]:
    """Take a mapping whose keys are the attributes of a class.

    Args:
        made: An attrs class. A key may be left out where its attribute has a default.
        readers: What takes the value of each attribute; they raise `Invalid` only.
        rule: What must hold of the values together.
    """
    hooks = {key: override(struct_hook=reader) for key, reader in readers.items()}
    structure = make_dict_structure_fn_from_attrs(
        # Not `make_dict_structure_fn`: it would resolve annotations that a reader for
        # every attribute makes superfluous.
        list(fields(made)),
        made,
        _CONVERTER,
        **hooks,  # type: ignore[arg-type]
    )

    def read(value: object, _type: object = None) -> T:
        if not isinstance(value, Section):
            hint = " (leave the key out for its defaults)" if value is None else ""
            raise Invalid.here(f"expected a mapping, got {shown(value)}{hint}")
        try:
            result = structure(value, made)  # type: ignore[arg-type]
        except ClassValidationError as error:
            raise Invalid(_findings(error, readers)) from None
        if rule is not None and (findings := tuple(rule(result))):
            raise Invalid(findings)
        return result

    return shaped(read, partial(_shape, made, readers))


def _shape(made: type[AttrsInstance], readers: Mapping[str, Reader[Any]]) -> Shape:
    needed = [each.name for each in fields(made) if each.default is NOTHING]
    return {
        "type": "object",
        "properties": {key: shape_of(reader) for key, reader in readers.items()},
        "additionalProperties": False,
        **({"required": needed} if needed else {}),
    }


def _findings(error: ClassValidationError, keys: Iterable[str]) -> Iterator[Finding]:
    at_keys, others = error.group_exceptions()
    for exception, note in at_keys:
        if isinstance(exception, Invalid):
            yield from (finding.under(note.name) for finding in exception.findings)
        elif isinstance(exception, KeyError):  # the object made looks its key up
            yield Finding((note.name,), "missing")
        else:
            raise exception
    for exception in others:
        if not isinstance(exception, ForbiddenExtraKeysError):
            raise exception
        for key in exception.extra_fields:
            what = f"unknown key {shown(key)}{suggestion(key, keys)}"
            yield Finding((key,), what)
