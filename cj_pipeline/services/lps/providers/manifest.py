"""This module holds the models that can be asked, and checks a request's overrides against one.

What a model is says model.py; how files are read and laid over each other, manifest_file.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.errors import BadInput, CjPipelineError, did_you_mean
from cj_pipeline.services.lps.providers.manifest_file import (
    BUILT_IN,
    Change,
    ManifestContent,
    built_in_content,
    read_content,
)
from cj_pipeline.services.lps.providers.model import Model, StructuredOutput

__all__ = [
    "BUILT_IN",
    "Change",
    "Manifest",
    "Model",
    "Problem",
    "StructuredOutput",
    "UnknownModel",
    "check_overrides",
    "check_time_limits",
    "load_manifest",
]


class UnknownModel(CjPipelineError):
    """A model that the manifest does not have. model_id: what was asked for."""

    def __init__(self, provider: Provider, model_id: str, known: Iterable[str]) -> None:
        self.provider = provider
        self.model_id = model_id
        # 80: long enough for any real name, too short for a prompt that landed in the wrong field.
        asked, known = model_id[:80], list(known)
        # APIs call `gpt-4o` what is `gpt-4o-2024-11-20` today; a recording is of one of the dated models.
        dated = next(
            (name for name in known if re.fullmatch(re.escape(asked) + r"-[\d-]+", name.split("/")[-1])), asked
        )
        super().__init__(f"'{asked}' is not a model of {provider}. {did_you_mean(dated, known)}")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an override cannot be used. field: its key in `llm_config_overrides`."""

    field: str
    message: str


class Manifest:
    """The models of one manifest, in the order of its file. changes: what a team's file said, of which models."""

    def __init__(
        self, models: Iterable[Model], defaults: Mapping[Provider, str], changes: Iterable[Change] = ()
    ) -> None:
        self._models = {(model.provider, model.model_id): model for model in models}
        self._defaults = dict(defaults)
        self.changes = tuple(changes)

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

    def default_id(self, provider: Provider) -> str | None:
        """The id of the model that the manifest proposes; None for a provider without one."""
        return self._defaults.get(provider)

    def default_model(self, provider: Provider) -> Model:
        """The model that the manifest proposes. Raises UnknownModel for a provider without one (the mock)."""
        return self.find(provider, self._defaults.get(provider, ""))


def addresses_of(manifest: Manifest, provider: Provider) -> tuple[str, ...]:
    """Return the addresses that models of a provider have of their own, sorted."""
    known = manifest.models(provider, include_deprecated=True)
    return tuple(sorted({model.base_url for model in known if model.base_url is not None}))


def load_manifest(path: Path | None = None) -> Manifest:
    """The built-in manifest, alone or below a team's own. Raises BadInput naming file, line and field."""
    return _built_in() if path is None else _manifest(read_content(path))


def check_time_limits(manifest: Manifest, attempt_s: float, path: Path | None) -> None:
    """Refuse a time limit that no attempt lives to see. attempt_s: how long one may take. Raises BadInput."""
    for model in manifest.models(include_deprecated=True):
        if model.total_timeout_s is not None and model.total_timeout_s > attempt_s:
            raise BadInput(
                f"{model.model_id} may take {model.total_timeout_s:g} s, but an attempt ends after {attempt_s:g} s.",
                path=path or BUILT_IN,
                field="total_timeout_s",
                remedy="Lower it, or raise LLM_PROVIDER_SERVICE_QUEUE_PROCESSING_TIMEOUT_SECONDS.",
            )


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
    return _manifest(built_in_content())


def _manifest(content: ManifestContent) -> Manifest:
    return Manifest(content.models, content.defaults, content.changes)
