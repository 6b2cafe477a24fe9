"""This module derives from a wire model a decoder that is four times as fast, for reading columns.

It decides nothing: what it takes the model takes too, with the same values, and what it refuses the model reads again.
One value may differ: msgspec rounds the seventh digit of a second that the model cuts off.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

# The model's JSON parser gives up at 200 levels, msgspec does not; a callback has three.
_MOST_BRACKETS = 150

_BOUNDS = ("ge", "le", "min_length", "max_length", "pattern")


def fast_decoder(model: type[BaseModel], rule: Callable[[Any], str | None]) -> Callable[[bytes], Any]:
    """Return a function from JSON to a struct with the model's attributes, or to None where the model must be asked.

    rule: what the model demands beyond its fields; it returns a sentence for what breaks it.
    """
    decode = msgspec.json.Decoder(_struct(model)).decode

    def decoded(raw: bytes) -> Any:
        try:
            found = decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if raw.count(b"[") + raw.count(b"{") > _MOST_BRACKETS or rule(found) is not None:
            return None
        return found

    return decoded


def _struct(model: type[BaseModel]) -> type[msgspec.Struct]:
    fields: list[Any] = []
    for name, field in model.model_fields.items():
        kind = _bounded(_kind(field.annotation), field)
        if field.is_required():
            fields.append((name, kind))
        elif field.default_factory is not None:
            fields.append((name, kind, msgspec.field(default_factory=field.default_factory)))  # type: ignore[arg-type]
        else:
            fields.append((name, kind, field.default))
    # An unknown field is refused and the model asked: msgspec does not look into what it skips.
    return msgspec.defstruct(model.__name__, fields, kw_only=True, forbid_unknown_fields=True, gc=False)


def _kind(annotation: Any) -> Any:
    """Return msgspec's type for a type of the model."""
    if annotation is AwareDatetime:
        return Annotated[datetime, msgspec.Meta(tz=True)]
    if get_origin(annotation) is Annotated:
        kind, *notes = get_args(annotation)
        for note in notes:
            kind = _bounded(_kind(kind), note) if isinstance(note, FieldInfo) else kind
        return kind
    if get_origin(annotation) in (Union, UnionType):
        return Union[tuple(_kind(kind) for kind in get_args(annotation))]  # noqa: UP007
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _struct(annotation)
    return annotation


def _bounded(kind: Any, field: FieldInfo) -> Any:
    bounds = {
        name: getattr(note, name)
        for note in field.metadata
        for name in _BOUNDS
        if getattr(note, name, None) is not None
    }
    if "pattern" in bounds:
        # To Python `$` is also before a newline at the end; to the model it is not.
        bounds["pattern"] = bounds["pattern"].replace("$", r"\Z")
    return Annotated[kind, msgspec.Meta(**bounds)] if bounds else kind
