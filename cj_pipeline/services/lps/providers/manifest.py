"""This module holds the models that can be asked, with what each takes and what it costs.

It reads a manifest file, finds a model in one, and checks a request's overrides against it. The built-in models are
data (models.yaml).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.enums import OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.foundation.errors import BadInput, CjPipelineError, did_you_mean
from cj_pipeline.foundation.yaml_file import Key, read_yaml, read_yaml_model

BUILT_IN = Path(__file__).with_name("models.yaml")

Count = Annotated[int, Field(gt=0)]
Price = Annotated[float, Field(ge=0.0)] | None


class StructuredOutput(StrEnum):
    """How a model is made to answer in a given shape."""

    TOOL_USE = "tool_use"
    JSON_SCHEMA = "json_schema"
    JSON_MIME_TYPE = "json_mime_type"
    JSON_OBJECT = "json_object"
    NATIVE_JSON = "native_json"


class Model(FileModel):
    """One model. Prices are US dollars per 1,000 tokens; null means unknown, which is not free of charge."""

    model_id: Annotated[str, Field(min_length=1)]
    provider: Provider
    display_name: Annotated[str, Field(min_length=1)]
    model_family: Annotated[str, Field(min_length=1)]
    api_version: str
    structured_output_method: StructuredOutput
    supports_temperature: bool = True
    supports_top_p: bool = True
    supports_frequency_penalty: bool = True
    supports_presence_penalty: bool = True
    uses_max_completion_tokens: bool = False
    capabilities: dict[str, bool] = Field(default_factory=dict)
    max_tokens: Count = 4096
    """Most that the model can write in one answer, reasoning included."""
    context_window: Count = 200_000
    supports_streaming: bool = True
    release_date: date | None = None
    is_deprecated: bool = False
    deprecation_date: date | None = None
    is_retired: bool = False
    """The API does not answer for it any more."""
    cost_per_1k_input_tokens: Price = None
    cost_per_1k_output_tokens: Price = None
    cost_per_1k_cached_input_tokens: Price = None
    cost_per_1k_cache_write_5m_tokens: Price = None
    cost_per_1k_cache_write_1h_tokens: Price = None
    reasoning_efforts: tuple[Literal["none", "minimal", "low", "medium", "high"], ...] = ()
    """The literals that the model's own API takes; empty for a model that has no such setting."""
    verbosities: tuple[Literal["low", "medium", "high"], ...] = ()
    recommended_for: tuple[str, ...] = ()
    notes: str = ""

    @model_validator(mode="after")
    def _retired_models_are_deprecated(self) -> Self:
        if self.is_retired and not self.is_deprecated:
            raise ValueError("a retired model is deprecated too; set is_deprecated")
        return self

    def takes_effort(self, effort: ReasoningEffort) -> bool:
        """Whether this effort can be asked for. NONE always can: a model that cannot reason does not."""
        return effort is ReasoningEffort.NONE or effort.value in self.reasoning_efforts

    def takes_verbosity(self, verbosity: OutputVerbosity) -> bool:
        """Whether this verbosity can be asked for."""
        return verbosity.value in self.verbosities


class ManifestFile(FileModel):
    """A manifest as it is written down."""

    schema_version: Literal[1]
    defaults: dict[Provider, str]
    models: tuple[Model, ...]


class UnknownModel(CjPipelineError):
    """A model that the manifest does not have. model_id: what was asked for."""

    def __init__(self, provider: Provider, model_id: str, known: Iterable[str]) -> None:
        self.provider = provider
        self.model_id = model_id
        # 80: long enough for any real name, too short for a prompt that landed in the wrong field.
        super().__init__(f"'{model_id[:80]}' is not a model of {provider}. {did_you_mean(model_id[:80], known)}")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an override cannot be used. field: its key in `llm_config_overrides`."""

    field: str
    message: str


class Manifest:
    """The models of one manifest, in the order of its file."""

    def __init__(self, models: Iterable[Model], defaults: Mapping[Provider, str]) -> None:
        self._models = {(model.provider, model.model_id): model for model in models}
        self._defaults = dict(defaults)

    def models(self, provider: Provider | None = None, *, include_deprecated: bool = False) -> tuple[Model, ...]:
        """Models of one provider, or of all."""
        return tuple(
            model
            for model in self._models.values()
            if (provider is None or model.provider is provider) and (include_deprecated or not model.is_deprecated)
        )

    def find(self, provider: Provider, model_id: str) -> Model:
        """A model by its id, deprecated or not. Raises UnknownModel."""
        found = self._models.get((provider, model_id))
        if found is None:
            raise UnknownModel(provider, model_id, [model.model_id for model in self.models(provider)])
        return found

    def default_model(self, provider: Provider) -> Model:
        """The model that the manifest proposes. Raises UnknownModel for a provider without one (the mock)."""
        return self.find(provider, self._defaults.get(provider, ""))


def load_manifest(path: Path | None = None) -> Manifest:
    """The built-in manifest, or a team's own. Raises BadInput naming file, line and field."""
    return _built_in() if path is None else _read(path)


def check_overrides(
    manifest: Manifest, provider: Provider, overrides: LLMConfigOverrides, *, default_model: str | None = None
) -> list[Problem]:
    """What the model cannot do of what is asked; empty when it can do all.

    provider: who answers; the mock takes anything. default_model: asked when the request names no model; the
    manifest's own default unless given. A temperature is never a problem: the CJ engine always sends one, and it is
    left out for a model that takes none. Raises UnknownModel when it is the default that is unknown.
    """
    if provider is Provider.MOCK:
        return []
    if overrides.model_override is None:
        model = manifest.default_model(provider) if default_model is None else manifest.find(provider, default_model)
    else:
        try:
            model = manifest.find(provider, overrides.model_override)
        except UnknownModel as unknown:
            return [Problem("model_override", str(unknown))]
    return _problems(manifest, model, overrides)


def _problems(manifest: Manifest, model: Model, overrides: LLMConfigOverrides) -> list[Problem]:
    problems = []
    if model.is_retired:
        current = ", ".join(other.model_id for other in manifest.models(model.provider))
        problems.append(Problem("model_override", f"{model.model_id} is retired. Use one of: {current}."))
    limit = overrides.max_tokens_override
    if limit is not None and limit > model.max_tokens:
        problems.append(
            Problem("max_tokens_override", f"{model.model_id} writes at most {model.max_tokens} tokens, not {limit}.")
        )
    effort = overrides.reasoning_effort
    if effort is not None and not model.takes_effort(effort):
        problems.append(_not_taken("reasoning_effort", effort, model, sorted({*model.reasoning_efforts, "none"})))
    verbosity = overrides.output_verbosity
    if verbosity is not None and not model.takes_verbosity(verbosity):
        problems.append(_not_taken("output_verbosity", verbosity, model, model.verbosities))
    return problems


def _not_taken(field: str, value: str, model: Model, taken: Iterable[str]) -> Problem:
    known = ", ".join(choice for choice in taken if choice != "minimal")
    remedy = f"It takes: {known}." if known else "Leave it out."
    return Problem(field, f"{model.model_id} does not take '{value}'. {remedy}")


@cache
def _built_in() -> Manifest:
    return _read(BUILT_IN)


def _read(path: Path) -> Manifest:
    file = read_yaml_model(
        path,
        ManifestFile,
        when_missing="Check the path, or leave it out for the built-in models.",
        when_unfit="Correct it; the built-in manifest shows how: cj_pipeline/services/lps/providers/models.yaml",
    )
    seen: set[tuple[Provider, str]] = set()
    for number, model in enumerate(file.models):
        if (model.provider, model.model_id) in seen:
            raise _bad(path, ("models", number, "model_id"), "given twice.", "Keep one of the two.")
        seen.add((model.provider, model.model_id))
    for provider, model_id in file.defaults.items():
        if (provider, model_id) not in seen:
            known = [name for owner, name in seen if owner is provider]
            raise _bad(
                path, ("defaults", provider.value), "names no model of this file.", did_you_mean(model_id, known)
            )
    return Manifest(file.models, file.defaults)


def _bad(path: Path, keys: tuple[Key, ...], problem: str, remedy: str) -> BadInput:
    field = ".".join(str(key) for key in keys)
    return BadInput(problem, path=path, line=read_yaml(path).line(keys), field=field, remedy=remedy)
