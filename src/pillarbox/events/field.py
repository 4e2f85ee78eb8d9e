"""Field declarations: the type, unit, allowed values and meaning of one event field.

Types are the five of the catalogue: ``string``, ``integer``, ``list`` (of strings), ``ip`` and
``timestamp``.  A field is written in an event's signature as
``Annotated[str | None, F("What it says.", values=("yes",))] = None``; `own_fields` reads such a
signature back.

Fields whose names the client chooses are given as one mapping parameter with ``expand`` and
``patterns``.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

FieldValue = str | int | float | Sequence[str]

# What a mapping parameter becomes: names of fields, and their values.
Expander = Callable[[Mapping[str, str | None]], Mapping[str, FieldValue]]

_TYPES: Mapping[object, str] = {str: "string", int: "integer", float: "timestamp"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: catalogue type, description, unit of a number, and allowed values if few.

    ``expand`` is for a parameter that gives many fields at once: it makes them out of a mapping,
    and ``patterns`` are their names, with ``<placeholders>``, and descriptions.
    """

    type: str
    doc: str
    unit: str | None = None
    values: tuple[str, ...] = ()
    expand: Expander | None = None
    patterns: tuple[tuple[str, str], ...] = ()

    def declared(self, name: str) -> dict[str, Field]:
        """The fields that a parameter of this name stands for: itself, or those it expands to."""
        if self.expand is None:
            return {name: self}
        return {pattern: Field("string", doc) for pattern, doc in self.patterns}


@dataclass(frozen=True, slots=True)
class F:
    """What an annotation says of a field; ``type`` only where the Python type does not tell."""

    doc: str
    values: tuple[str, ...] = ()
    unit: str | None = None
    type: str | None = None
    expand: Expander | None = None
    patterns: tuple[tuple[str, str], ...] = ()


def own_fields(function: Callable[..., object]) -> dict[str, Field]:
    """The fields that a declaring function's keyword-only parameters describe, in order."""
    hints = typing.get_type_hints(function, include_extras=True)
    fields: dict[str, Field] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        base, note = _split(hints[parameter.name], parameter.name)
        fields[parameter.name] = Field(
            note.type or _TYPES.get(base, "list"),
            note.doc,
            note.unit,
            note.values,
            note.expand,
            note.patterns,
        )
    return fields


def _split(hint: object, name: str) -> tuple[object, F]:
    """The bare type and the F of ``Annotated[T | None, F(...)]``."""
    if typing.get_origin(hint) is not typing.Annotated:
        raise TypeError(f"field {name} has no Annotated[..., F(...)]")
    inner, *notes = typing.get_args(hint)
    found = next((n for n in notes if isinstance(n, F)), None)
    if found is None:
        raise TypeError(f"field {name} has no F(...)")
    kinds = [t for t in typing.get_args(inner) if t is not type(None)] or [inner]
    return kinds[0], found
