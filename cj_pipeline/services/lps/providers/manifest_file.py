"""This module reads manifest files, and lays a team's own over the built-in one.

A team's file says only what is its own: a new model needs `model_id` and `provider`, a known one the keys that change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.foundation.yaml_file import Key, YamlFile, read_yaml
from cj_pipeline.services.lps.providers.model import Model

BUILT_IN = Path(__file__).with_name("models.yaml")

ModelKey = tuple[Provider, str]
Shape = TypeVar("Shape", bound=BaseModel)

_NAMES = ("provider", "model_id")


class ManifestFile(FileModel):
    """A manifest as it is written down; its models are read one by one, over what is known of them."""

    schema_version: Literal[1]
    replaces_built_in: bool = False
    """Whether these are all models, instead of more."""
    defaults: dict[Provider, str] = Field(default_factory=dict)
    models: tuple[dict[str, Any], ...] = ()


class _Named(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    provider: Provider
    model_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a team's file says of one model. keys: those that differ from the built-in ones; all of a new model's."""

    provider: Provider
    model_id: str
    is_new: bool
    keys: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one line, for the log."""
        if self.is_new:
            return f"the manifest adds {self.model_id} of {self.provider}"
        return f"the manifest changes {self.model_id} of {self.provider}: {', '.join(self.keys)}"


@dataclass(frozen=True, slots=True)
class ManifestContent:
    """What one or two files say together."""

    models: tuple[Model, ...]
    defaults: Mapping[Provider, str]
    changes: tuple[Change, ...] = ()


@cache
def built_in_content() -> ManifestContent:
    """Return the models that come with the package."""
    return _content(BUILT_IN, {}, {})


def read_content(path: Path) -> ManifestContent:
    """Return the built-in models with a team's file laid over them. Raises BadInput naming file, line and field."""
    file = read_yaml(path, when_missing="Check the path, or leave it out for the built-in models.")
    if file.content.get("replaces_built_in") is True:
        return _content(path, {}, {})
    return _content(path, _entries(BUILT_IN), built_in_content().defaults)


@cache
def _entries(path: Path) -> Mapping[ModelKey, Mapping[str, Any]]:
    return {(Provider(entry["provider"]), entry["model_id"]): entry for entry in read_yaml(path).content["models"]}


def _content(
    path: Path, below: Mapping[ModelKey, Mapping[str, Any]], defaults: Mapping[Provider, str]
) -> ManifestContent:
    file = read_yaml(path)
    head = _validated(file, ManifestFile, file.content, ())
    models = {key: Model.model_validate(entry) for key, entry in below.items()}
    seen: set[ModelKey] = set()
    changes = []
    for number, entry in enumerate(head.models):
        named = _validated(file, _Named, entry, ("models", number))
        key = (named.provider, named.model_id)
        if key in seen:
            raise _bad(file, ("models", number, "model_id"), "given twice.", "Keep one of the two.")
        seen.add(key)
        known = below.get(key, {})
        model = _validated(file, Model, {**known, **entry}, ("models", number))
        if below:
            differing = tuple(
                name
                for name in entry
                if name not in _NAMES and (not known or getattr(model, name) != getattr(models[key], name))
            )
            changes.append(Change(*key, is_new=not known, keys=differing))
        models[key] = model
    merged = {**defaults, **head.defaults}
    for provider, model_id in head.defaults.items():
        if (provider, model_id) not in models:
            mine = [name for owner, name in models if owner is provider]
            raise _bad(file, ("defaults", provider.value), "names no model.", did_you_mean(model_id, mine))
    return ManifestContent(tuple(models.values()), merged, tuple(c for c in changes if c.is_new or c.keys))


def _validated(file: YamlFile, shape: type[Shape], content: object, where: tuple[Key, ...]) -> Shape:
    try:
        return shape.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = first["msg"].removeprefix("Value error, ")
        keys = [*where, *(part for part in first["loc"] if isinstance(part, str | int) and part != "[key]")]
        name, colon, rest = said.partition(": ")
        if colon and len(keys) == len(where) and name in Model.model_fields:
            # A rule over several keys names the one that it is about.
            keys, said = [*keys, name], rest
        hint = did_you_mean(str(keys[-1]), shape.model_fields) + " " if first["type"] == "extra_forbidden" else ""
        raise _bad(
            file,
            tuple(keys),
            f"{said.rstrip('.')}.",
            f"{hint}docs/endpoints.md lists the keys of a model; the built-in manifest shows them: {BUILT_IN.name}",
        ) from None


def _bad(file: YamlFile, keys: tuple[Key, ...], problem: str, remedy: str) -> BadInput:
    field = ".".join(str(key) for key in keys) or "(top level)"
    return BadInput(problem, path=file.path, line=file.line(keys), field=field, remedy=remedy)
