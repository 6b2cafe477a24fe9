"""This module makes the parts of an OpenAPI 3.1 document from operations and the models of their bodies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import JsonSchemaMode, models_json_schema

Json = dict[str, Any]

VERSION = "3.1.0"
"""Of OpenAPI."""


class Answer(BaseModel):
    """An answer has the fields that are documented and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    def json_bytes(self) -> bytes:
        """Return the body: every field that was given, also one that is null."""
        return self.model_dump_json(exclude_unset=True).encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """One status of an operation. body: the models it may be, the schema of what is no model, or None for no body."""

    description: str
    body: tuple[type[BaseModel], ...] | Json | None
    header: str | None = None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """One route. replies: by status, without those that all have and the refusals of a guarded one."""

    name: str
    method: str
    path: str
    summary: str
    replies: Mapping[int, Reply]
    query: tuple[Json, ...] = field(default=())
    guarded: bool = False
    """Whether it can be switched off."""
    wants_key: bool = False
    """Whether it wants a key, where there is one."""
    body: type[BaseModel] | None = None
    """What it takes."""


def models_of(replies: Iterable[Reply]) -> set[type[BaseModel]]:
    """Return every model that an answer may be."""
    return {model for reply in replies if isinstance(reply.body, tuple) for model in reply.body}


def schemas_of(shown: Sequence[tuple[type[BaseModel], JsonSchemaMode]]) -> Json:
    """Return the schemas of models by name, for `components`."""
    _, generated = models_json_schema(shown, ref_template=ref("{model}")["$ref"])
    schemas: Json = generated["$defs"]
    return schemas


def response(reply: Reply, headers: Sequence[str] = ()) -> Json:
    """Return one response. headers: that every response has, by their names in `components`."""
    told: Json = {"description": reply.description}
    if names := [*headers, *([reply.header] if reply.header else [])]:
        told["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    if isinstance(reply.body, tuple):
        told["content"] = {reply.media_type: {"schema": _one_of([ref(model.__name__) for model in reply.body])}}
    elif reply.body is not None:
        told["content"] = {reply.media_type: {"schema": reply.body}}
    return told


def request_body(model: type[BaseModel]) -> Json:
    """Return a body that has to be there."""
    return {"required": True, "content": {"application/json": {"schema": ref(model.__name__)}}}


def in_path(name: str, schema: Json) -> Json:
    """Return a parameter of a path."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


def ref(name: str) -> Json:
    """Return a reference to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _one_of(schemas: list[Json]) -> Json:
    return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
