"""A team's manifest lies over the built-in one, and every key of it has an effect or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.services.lps.providers.apis.anthropic import AnthropicApi
from cj_pipeline.services.lps.providers.apis.asking import merged
from cj_pipeline.services.lps.providers.apis.google import GoogleApi
from cj_pipeline.services.lps.providers.apis.openai import OpenAiApi
from cj_pipeline.services.lps.providers.apis.openrouter import OpenRouterApi
from cj_pipeline.services.lps.providers.manifest import Manifest, check_time_limits, load_manifest
from cj_pipeline.services.lps.providers.model import Model
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from tests.services.lps.providers.stand import queued

HAIKU = "claude-haiku-4-5-20251001"
APIS = {
    Provider.OPENAI: OpenAiApi,
    Provider.ANTHROPIC: AnthropicApi,
    Provider.GOOGLE: GoogleApi,
    Provider.OPENROUTER: OpenRouterApi,
}


def own(folder: Path, *models: dict[str, Any], **head: Any) -> Manifest:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({"schema_version": 1, **head, "models": list(models)}))
    return load_manifest(path)


def payload(manifest: Manifest, provider: Provider, model_id: str, **overrides: Any) -> dict[str, Any]:
    request = queued(provider, model_override=model_id, **overrides)
    return APIS[provider](ProviderSettings()).payload(request, manifest.find(provider, model_id))


def test_one_key_of_a_known_model_changes_and_the_rest_stays(tmp_path: Path) -> None:
    manifest = own(tmp_path, {"model_id": "gpt-5.1", "provider": "openai", "cost_per_1k_input_tokens": 0.00125})
    built_in = load_manifest().find(Provider.OPENAI, "gpt-5.1")
    changed = manifest.find(Provider.OPENAI, "gpt-5.1")
    assert changed == built_in.model_copy(update={"cost_per_1k_input_tokens": 0.00125})
    assert [str(change) for change in manifest.changes] == [
        "the manifest changes gpt-5.1 of openai: cost_per_1k_input_tokens"
    ]
    assert len(manifest.models()) == len(load_manifest().models())


def test_a_key_that_says_what_is_built_in_is_no_change(tmp_path: Path) -> None:
    assert own(tmp_path, {"model_id": HAIKU, "provider": "anthropic", "max_tokens": 64000}).changes == ()


def test_a_new_model_needs_an_id_and_a_provider(tmp_path: Path) -> None:
    manifest = own(tmp_path, {"model_id": "qwen2.5:7b", "provider": "openai"})
    model = manifest.find(Provider.OPENAI, "qwen2.5:7b")
    assert (model.display_name, model.model_family, model.api_version) == ("qwen2.5:7b", "qwen2.5:7b", "v1")
    assert [str(change) for change in manifest.changes] == ["the manifest adds qwen2.5:7b of openai"]


def test_defaults_may_name_models_of_either_file(tmp_path: Path) -> None:
    manifest = own(
        tmp_path,
        {"model_id": "claude-opus-4-7", "provider": "anthropic"},
        defaults={"anthropic": "claude-opus-4-7", "openai": "gpt-5.1"},
    )
    assert manifest.default_model(Provider.ANTHROPIC).model_id == "claude-opus-4-7"
    assert manifest.default_model(Provider.OPENAI).model_id == "gpt-5.1"
    assert manifest.default_id(Provider.GOOGLE) == load_manifest().default_id(Provider.GOOGLE)


def test_a_manifest_may_replace_the_built_in_one(tmp_path: Path) -> None:
    manifest = own(tmp_path, {"model_id": "m", "provider": "openai"}, replaces_built_in=True)
    assert [model.model_id for model in manifest.models()] == ["m"]
    assert manifest.default_id(Provider.OPENAI) is None


@pytest.mark.parametrize(
    ("entry", "field", "said"),
    [
        (
            {"model_id": HAIKU, "provider": "anthropic", "structured_output_method": "json_object"},
            "",
            "cannot be asked",
        ),
        ({"model_id": "m", "provider": "openai", "structured_output_method": "tool_use"}, "", "cannot be asked"),
        ({"model_id": "m", "provider": "openai", "capabilities": {"json_mood": True}}, "", "Did you mean 'json_mode'?"),
        ({"model_id": "m", "provider": "openai", "capabilities": {"response_format_schema": False}}, "", "deny"),
        ({"model_id": "m", "provider": "openai", "effort_shape": "thinking_level"}, "", "is not asked by"),
        ({"model_id": "m", "provider": "openai", "effort_requests": {"low": {}}}, "", "nobody can ask for it"),
        ({"model_id": "m", "provider": "google", "verbosities": ["low"]}, "", "takes none"),
        ({"model_id": "m", "provider": "anthropic", "uses_max_completion_tokens": True}, "", "no such field"),
        ({"model_id": "m", "provider": "google", "supports_system_prompt": False}, "", "always takes one"),
        ({"model_id": "m", "provider": "openrouter", "api_version": "v2"}, "", "only v1"),
        ({"model_id": "m", "provider": "openai", "request": {"messages": []}}, "", "the service's own"),
        ({"model_id": "m", "provider": "openai", "request": {"stream": True}}, "", "the service's own"),
        ({"model_id": "m", "provider": "openai", "supports_top_p": False, "request": {"top_p": 1}}, "", "is false"),
        (
            {
                "model_id": "m",
                "provider": "google",
                "supports_top_p": False,
                "request": {"generationConfig": {"topP": 1}},
            },
            "",
            "is false",
        ),
        ({"model_id": "m", "provider": "openai", "headers": {"Authorization": "Bearer x"}}, "", "carries a key"),
        ({"model_id": "m", "provider": "mock"}, "", "the mock takes any model"),
        ({"model_id": "m", "provider": "openai", "total_timeout_s": 0}, "total_timeout_s", "greater than 0"),
        ({"model_id": "m", "provider": "openai", "batch_price_factor": 2}, "batch_price_factor", "less than or equal"),
        ({"model_id": "m", "provider": "openai", "max_tokns": 1}, "max_tokns", "Did you mean 'max_tokens'?"),
    ],
)
def test_a_key_without_effect_is_refused_at_its_line(
    entry: dict[str, Any], field: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as caught:
        own(tmp_path, {"model_id": "fine", "provider": "openai"}, entry)
    assert said in str(caught.value)
    assert (caught.value.field or "").startswith("models.1")
    assert caught.value.field == f"models.1.{field}" if field else caught.value.line is not None


def test_a_time_limit_beyond_an_attempts_is_refused(tmp_path: Path) -> None:
    manifest = own(tmp_path, {"model_id": "m", "provider": "openai", "total_timeout_s": 400})
    check_time_limits(manifest, 400.0, None)
    with pytest.raises(BadInput, match=r"QUEUE_PROCESSING_TIMEOUT_SECONDS"):
        check_time_limits(manifest, 300.0, tmp_path / "own.yaml")


@pytest.mark.parametrize(
    ("effort", "thinking", "level"),
    [("low", {"type": "adaptive"}, "low"), ("high", {"type": "adaptive"}, "high"), ("none", None, None)],
)
def test_a_model_that_thinks_adaptively(effort: str, thinking: Any, level: Any, tmp_path: Path) -> None:
    entry = {
        "model_id": "claude-opus-4-8",
        "provider": "anthropic",
        "supports_temperature": False,
        "supports_top_p": False,
        "reasoning_efforts": ["low", "medium", "high"],
        "effort_shape": "adaptive_thinking",
    }
    body = payload(own(tmp_path, entry), Provider.ANTHROPIC, "claude-opus-4-8", reasoning_effort=effort)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == level
    assert body["tool_choice"]["type"] == ("tool" if thinking is None else "auto")
    assert "temperature" not in body


@pytest.mark.parametrize(("effort", "level"), [("low", "low"), ("high", "high"), ("none", "low"), (None, None)])
def test_a_model_that_thinks_by_level_is_asked_for_its_least_when_none_is_wanted(
    effort: Any, level: Any, tmp_path: Path
) -> None:
    entry = {
        "model_id": "gemini-3-pro",
        "provider": "google",
        "reasoning_efforts": ["low", "high"],
        "effort_shape": "thinking_level",
    }
    body = payload(own(tmp_path, entry), Provider.GOOGLE, "gemini-3-pro", reasoning_effort=effort)
    assert body["generationConfig"].get("thinkingConfig") == (None if level is None else {"thinkingLevel": level})


def test_an_effort_can_be_written_out(tmp_path: Path) -> None:
    entry = {
        "model_id": "m",
        "provider": "anthropic",
        "reasoning_efforts": ["high"],
        "effort_requests": {
            "none": {"thinking": {"type": "disabled"}},
            "high": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
        },
    }
    manifest = own(tmp_path, entry)
    high = payload(manifest, Provider.ANTHROPIC, "m", reasoning_effort="high")
    assert (high["thinking"], high["output_config"]) == ({"type": "adaptive"}, {"effort": "max"})
    none = payload(manifest, Provider.ANTHROPIC, "m", reasoning_effort="none")
    assert none["thinking"] == {"type": "disabled"}
    assert none["tool_choice"]["type"] == "tool"
    assert none["temperature"] == 0.7


@pytest.mark.parametrize("provider", APIS)
def test_literal_parts_come_last_and_null_removes(provider: Provider, tmp_path: Path) -> None:
    entry = {"model_id": "m", "provider": provider.value, "request": {"seed": 7, "temperature": None, "x": {"y": 1}}}
    body = payload(own(tmp_path, entry), provider, "m")
    assert (body["seed"], body["x"]) == (7, {"y": 1})
    assert "temperature" not in body


@pytest.mark.parametrize(
    ("shape", "sent"),
    [("reasoning_effort", {"reasoning_effort": "low"}), ("reasoning", {"reasoning": {"effort": "low"}})],
)
@pytest.mark.parametrize("provider", [Provider.OPENAI, Provider.OPENROUTER])
def test_both_chat_dialects_of_effort(provider: Provider, shape: str, sent: dict[str, Any], tmp_path: Path) -> None:
    entry = {
        "model_id": "m",
        "provider": provider.value,
        "reasoning_efforts": ["low"],
        "effort_shape": shape,
        "max_tokens": 8192,
    }
    body = payload(own(tmp_path, entry), provider, "m", reasoning_effort="low")
    assert {key: body[key] for key in ("reasoning", "reasoning_effort") if key in body} == sent


def test_merging_never_changes_what_it_was_given() -> None:
    below, above = {"a": {"b": 1}}, {"a": {"c": 2}}
    assert merged(below, above) == {"a": {"b": 1, "c": 2}}
    assert (below, above) == ({"a": {"b": 1}}, {"a": {"c": 2}})


def test_every_key_of_a_model_is_explained() -> None:
    assert [name for name, field in Model.model_fields.items() if not field.description] == []
