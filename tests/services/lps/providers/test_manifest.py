from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.services.lps.http.model_list import model_info
from cj_pipeline.services.lps.providers.manifest import (
    BUILT_IN,
    UnknownModel,
    check_overrides,
    load_manifest,
)

HAIKU = "claude-haiku-4-5-20251001"
# From production: model -> (most output, context, $ per 1k in, out, released).
MODELS = {
    "gpt-5.1": (16384, 272000, None, None, None),
    "gpt-5-2025-08-07": (16384, 272000, 0.00125, 0.01, "Thu, 07 Aug 2025 00:00:00 GMT"),
    "gpt-5-mini-2025-08-07": (16384, 272000, 0.00025, 0.002, "Thu, 07 Aug 2025 00:00:00 GMT"),
    "gpt-5-nano-2025-08-07": (16384, 272000, 0.00005, 0.0004, "Thu, 07 Aug 2025 00:00:00 GMT"),
    "gpt-4.1-2025-04-14": (16384, 1047576, 0.002, 0.008, "Mon, 14 Apr 2025 00:00:00 GMT"),
    "gpt-4.1-mini-2025-04-14": (16384, 1047576, 0.0004, 0.0016, "Mon, 14 Apr 2025 00:00:00 GMT"),
    "gpt-4.1-nano-2025-04-14": (16384, 1047576, 0.0001, 0.0004, "Mon, 14 Apr 2025 00:00:00 GMT"),
    "gpt-4o-2024-11-20": (16384, 128000, 0.0025, 0.01, "Wed, 20 Nov 2024 00:00:00 GMT"),
    "gpt-4o-mini-2024-07-18": (16384, 128000, 0.00015, 0.0006, "Thu, 18 Jul 2024 00:00:00 GMT"),
    "claude-haiku-4-5-20251001": (64000, 200000, 0.001, 0.005, "Wed, 01 Oct 2025 00:00:00 GMT"),
    "claude-sonnet-4-5-20250929": (64000, 200000, 0.003, 0.015, "Mon, 29 Sep 2025 00:00:00 GMT"),
    "gemini-2.5-flash-preview-05-20": (8192, 1048576, 0.0, 0.0, "Mon, 20 May 2024 00:00:00 GMT"),
    "anthropic/claude-haiku-4-5-20251001": (64000, 200000, 0.001, 0.005, "Wed, 01 Oct 2025 00:00:00 GMT"),
}


def test_the_built_in_models_are_productions() -> None:
    told = {}
    for model in load_manifest().models():
        info = model_info(model).model_dump(mode="json")
        prices = (info["cost_per_1k_input_tokens"], info["cost_per_1k_output_tokens"])
        told[info["model_id"]] = (info["max_tokens"], info["context_window"], *prices, info["release_date"])
    assert told == MODELS


def test_a_model_on_the_wire_has_productions_fields() -> None:
    info = model_info(load_manifest().find(Provider.OPENROUTER, f"anthropic/{HAIKU}"))
    assert info.model_dump(mode="json") == {
        "model_id": f"anthropic/{HAIKU}",
        "provider": "openrouter",
        "display_name": "Claude Haiku 4.5 (OpenRouter)",
        "model_family": "claude-haiku-openrouter",
        "max_tokens": 64000,
        "context_window": 200000,
        "supports_streaming": True,
        "capabilities": {"json_mode": True, "tool_use": False},
        "cost_per_1k_input_tokens": 0.001,
        "cost_per_1k_output_tokens": 0.005,
        "is_deprecated": False,
        "release_date": "Wed, 01 Oct 2025 00:00:00 GMT",
        "recommended_for": [],
    }


def test_the_gpt_5_family_takes_no_sampling_parameters() -> None:
    for model in load_manifest().models(Provider.OPENAI):
        assert model.supports_temperature is (model.model_family != "gpt-5")
        assert model.uses_max_completion_tokens is (model.model_family == "gpt-5")


@pytest.mark.parametrize(
    ("provider", "model_id"),
    [
        (Provider.OPENAI, "gpt-5-mini-2025-08-07"),
        (Provider.ANTHROPIC, HAIKU),
        (Provider.GOOGLE, "gemini-2.5-flash-preview-05-20"),
        (Provider.OPENROUTER, f"anthropic/{HAIKU}"),
    ],
)
def test_each_provider_has_a_default(provider: Provider, model_id: str) -> None:
    assert load_manifest().default_model(provider).model_id == model_id


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownModel) as caught:
        load_manifest().find(Provider.ANTHROPIC, "claude-haiku-4-5")
    assert str(caught.value) == (
        "'claude-haiku-4-5' is not a model of anthropic. Did you mean 'claude-haiku-4-5-20251001'?"
        " Known: claude-haiku-4-5-20251001, claude-sonnet-4-5-20250929."
    )


def test_a_model_of_another_provider_is_unknown() -> None:
    with pytest.raises(UnknownModel):
        load_manifest().find(Provider.OPENAI, HAIKU)
    with pytest.raises(UnknownModel):
        load_manifest().default_model(Provider.MOCK)


def problems(provider: Provider, **overrides: Any) -> dict[str, str]:
    found = check_overrides(load_manifest(), provider, LLMConfigOverrides(**overrides))
    return {problem.field: problem.message for problem in found}


@pytest.mark.parametrize(
    ("provider", "overrides"),
    [
        (Provider.OPENAI, {}),
        (Provider.OPENAI, {"model_override": "gpt-5.1", "reasoning_effort": "low", "output_verbosity": "low"}),
        (Provider.OPENAI, {"model_override": "gpt-5.1", "temperature_override": 0.1}),
        (Provider.OPENAI, {"model_override": "gpt-4o-2024-11-20", "reasoning_effort": "none"}),
        (Provider.OPENAI, {"model_override": "gpt-5-2025-08-07", "reasoning_effort": "none"}),
        (Provider.OPENAI, {"max_tokens_override": 16384}),
        (Provider.ANTHROPIC, {"reasoning_effort": "high", "max_tokens_override": 64000}),
        (Provider.MOCK, {"model_override": "anything", "max_tokens_override": 10**9, "reasoning_effort": "high"}),
    ],
)
def test_what_a_model_can_do_is_no_problem(provider: Provider, overrides: dict[str, Any]) -> None:
    assert problems(provider, **overrides) == {}


@pytest.mark.parametrize(
    ("provider", "overrides", "field", "message"),
    [
        (Provider.OPENAI, {"model_override": "gpt-5.11"}, "model_override", "Did you mean 'gpt-5.1'?"),
        (Provider.GOOGLE, {"max_tokens_override": 8193}, "max_tokens_override", "at most 8192 tokens, not 8193"),
        (
            Provider.OPENAI,
            {"model_override": "gpt-4o-2024-11-20", "reasoning_effort": "low"},
            "reasoning_effort",
            "gpt-4o-2024-11-20 does not take 'low'. It takes: none.",
        ),
        (
            Provider.ANTHROPIC,
            {"output_verbosity": "low"},
            "output_verbosity",
            f"{HAIKU} does not take 'low'. Leave it out.",
        ),
    ],
)
def test_what_a_model_cannot_do_is_a_problem_of_its_field(
    provider: Provider, overrides: dict[str, Any], field: str, message: str
) -> None:
    (told,) = problems(provider, **overrides).items()
    assert told[0] == field
    assert message in told[1]


def test_a_request_without_a_model_is_checked_against_the_services_default() -> None:
    overrides = LLMConfigOverrides(output_verbosity="low")
    assert check_overrides(load_manifest(), Provider.OPENAI, overrides) == []
    default = "gpt-4o-2024-11-20"
    assert len(check_overrides(load_manifest(), Provider.OPENAI, overrides, default_model=default)) == 1


def own_file(folder: Path, *changes: tuple[str, str]) -> Path:
    text = BUILT_IN.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "models.yaml"
    path.write_text(text)
    return path


def test_a_team_may_bring_its_own_models(tmp_path: Path) -> None:
    path = own_file(tmp_path, ("model_id: gpt-5.1\n", "model_id: gpt-6\n"), ("GPT-5.1", "GPT-6"))
    assert load_manifest(path).find(Provider.OPENAI, "gpt-6").display_name == "GPT-6"


def test_deprecated_models_are_hidden_and_retired_ones_refused(tmp_path: Path) -> None:
    deprecated = "model_id: gpt-5.1\n    is_deprecated: true\n"
    manifest = load_manifest(own_file(tmp_path, ("model_id: gpt-5.1\n", deprecated)))
    overrides = LLMConfigOverrides(model_override="gpt-5.1")
    assert len(manifest.models()) == 12
    assert len(manifest.models(include_deprecated=True)) == 13
    assert check_overrides(manifest, Provider.OPENAI, overrides) == []
    retired = load_manifest(own_file(tmp_path, ("model_id: gpt-5.1\n", deprecated + "    is_retired: true\n")))
    (problem,) = check_overrides(retired, Provider.OPENAI, overrides)
    assert problem.field == "model_override"
    assert problem.message.startswith("gpt-5.1 is retired. Use one of: gpt-5-2025-08-07, ")


def line_of(path: Path, text: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)


@pytest.mark.parametrize(
    ("change", "at", "field"),
    [
        (("max_tokens: 16384", "max_tokens: -1"), "max_tokens: -1", "models.0.max_tokens"),
        (("provider: openai", "provider: opneai"), "provider: opneai", "models.0.provider"),
        (("context_window: 272000", "context_widnow: 272000"), "context_widnow", "models.0.context_widnow"),
        (("[none, low, medium, high]", "[none, lots]"), "[none, lots]", "models.0.reasoning_efforts.1"),
        (("display_name: GPT-5\n", "display_nam: GPT-5\n"), "display_nam: GPT-5", "models.1.display_nam"),
        (("- model_id: gpt-5-2025-08-07\n", "- model_id: gpt-5.1 # again\n"), "# again", "models.1.model_id"),
        (("google: gemini-2.5", "google: gemini-3"), "google: gemini-3", "defaults.google"),
    ],
)
def test_a_bad_file_is_named_with_line_and_field(change: tuple[str, str], at: str, field: str, tmp_path: Path) -> None:
    path = own_file(tmp_path, change)
    with pytest.raises(BadInput) as caught:
        load_manifest(path)
    assert caught.value.field == field
    assert caught.value.path == path
    assert caught.value.line == line_of(path, at)
    assert caught.value.remedy


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        load_manifest(tmp_path / "none.yaml")
