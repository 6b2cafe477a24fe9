"""This module prints the keys of a mode file, from the classes that read it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cj_pipeline.mock.mode.mode import Mode

# What `load_mode` writes itself.
_NOT_IN_FILES = {"overlays"}
_WORDS = {float: "number", int: "whole number", str: "text", bool: "true or false"}


def mode_keys() -> str:
    """Return every key of a mode file: where it may be, what it takes, its default, and what it means."""
    lines = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in _rows(Mode, "")]
    return "\n".join(lines)


def _rows(model: type[BaseModel], place: str) -> Iterator[tuple[str, str, str, str]]:
    told = _docstrings(model)
    for name, field in model.model_fields.items():
        if name in _NOT_IN_FILES or (name == "model" and place):
            continue
        key = f"{place}.{name}" if place else name
        inner = _models(field.annotation)
        about = told.get(name, "")
        if not about and inner:
            about = "" if len(inner) > 1 else _summary(inner[0])
        yield f"`{key}`", _takes(field.annotation, inner), _default(field), _cell(about)
        for one in inner:
            tag = _tag(one)
            if tag is None:
                yield from _rows(one, key)
            else:
                yield f"`{key}.model: {tag}`", "", "", _cell(_summary(one))
                yield from _rows(one, key)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a key may hold; each once."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [] if annotation.__name__ == "Recording" else [annotation]
    found = [model for inner in get_args(annotation) for model in _models(inner)]
    return list(dict.fromkeys(found))


def _takes(annotation: Any, inner: list[type[BaseModel]]) -> str:
    tags = [tag for model in inner if (tag := _tag(model)) is not None]
    if tags:
        return "keys, by `model`: " + ", ".join(tags)
    if inner:
        return "a list of keys" if get_origin(annotation) is tuple else "keys"
    return _words(annotation)


def _words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(_words(one) for one in arguments if one is not NoneType)
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in arguments)
    if origin is tuple:
        return "a list"
    if origin is dict:
        return "a mapping"
    if isinstance(annotation, type) and annotation.__name__ == "Recording":
        return "path of a JSONL file"
    return _WORDS.get(annotation, "text")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return ""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | tuple):
        return ", ".join(str(one) for one in value) or "empty"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("model")
    literal = None if field is None else field.annotation
    return str(get_args(literal)[0]) if get_origin(literal) is Literal else None


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the sentences below the fields of a class and of its bases."""
    told: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if not issubclass(one, BaseModel) or one is BaseModel:
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        body = definition.body if isinstance(definition, ast.ClassDef) else []
        for field, after in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
                text = after.value.value if isinstance(after.value, ast.Constant) else ""
                told[field.target.id] = str(text)
    return told


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").split("\n")[0]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
