"""The door: requests that could never be answered are refused at once, and what it tells metrics is bounded."""

from __future__ import annotations

import pytest

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.manifest import UnknownModel
from tests.services.lps.lab import body, correlation_id, in_lab
from tests.services.lps.providers.fakes import FAKES, KEYS

ESSAY = "Mein schönster Ferientag war kurz."
OPENAI = {"openai_api_key": KEYS[Provider.OPENAI]}


def assert_nested(response, code):
    """Its details."""
    assert response.status_code == 400
    error = response.json()["error"]
    assert error.keys() == {"code", "message", "correlation_id", "service", "timestamp", "details"}
    assert (error["code"], error["service"]) == (code, "llm_provider_service")
    assert error["timestamp"] == "2025-12-01T14:24:16Z"
    assert ESSAY not in response.text
    return error["details"]


def refusal(code, *, settings=None, **overrides):
    """(message, details) of a post that is refused, and that nothing was queued."""

    async def script(lab):
        response = await lab.post(**overrides)
        details = assert_nested(response, code)
        assert response.json()["error"]["correlation_id"] == str(correlation_id(0))
        assert (await lab.service.depth()).total == 0
        return response.json()["error"]["message"], details

    return in_lab(script, **({"use_mock_llm": True} if settings is None else settings))


def test_an_empty_topic_is_a_configuration_error():
    async def script(lab):
        response = await lab.client.post("/api/v1/comparison", json=body() | {"callback_topic": ""})
        assert assert_nested(response, "CONFIGURATION_ERROR") == {"config_key": "callback_topic"}

    in_lab(script)


@pytest.mark.parametrize("topic", [ESSAY, "two words", "a/b", "ärger", ".", "..", "x" * 250, "line\n", "a\x00"])
def test_a_name_that_no_topic_can_have_is_refused_and_not_repeated(topic):
    async def script(lab):
        response = await lab.client.post("/api/v1/comparison", json=body() | {"callback_topic": topic})
        assert assert_nested(response, "LLM_INVALID_CALLBACK_TOPIC") == {"config_key": "callback_topic"}

    in_lab(script)


@pytest.mark.parametrize("topic", ["a", "...", "huleedu.llm_provider.comparison_result.v1", "A-b_c.9", "x" * 249])
def test_any_name_that_a_topic_can_have_is_accepted(topic):
    async def script(lab):
        response = await lab.client.post("/api/v1/comparison", json=body() | {"callback_topic": topic})
        assert response.status_code == 202

    in_lab(script, callback_topics=["*"])


OTHER_TOPICS = [
    "huleedu.els.cj_assessment.requested.v1",  # on which the CJ service takes requests
    "huleedu.cj_assessment.completed.v1",
    "huleedu.llm_provider.request_completed.v1",
    "huleedu.llm_provider.comparison_result.v1.x",
    "xhuleedu.llm_provider.comparison_result.v1",
    "huleedu_llm_provider_comparison_result_v1",
    "HULEEDU.llm_provider.comparison_result.v1",
    "__consumer_offsets",
    "tests",
]


@pytest.mark.parametrize("topic", OTHER_TOPICS)
def test_a_topic_of_somebody_else_is_refused(topic):
    async def script(lab):
        response = await lab.client.post("/api/v1/comparison", json=body() | {"callback_topic": topic})
        assert assert_nested(response, "LLM_INVALID_CALLBACK_TOPIC") == {"config_key": "callback_topic"}
        assert topic not in response.text

    in_lab(script)


@pytest.mark.parametrize(
    "topic",
    [
        "huleedu.llm_provider.comparison_result.v1",
        "test.llm.mock_parity.eng5_lower5.v1",
        "cj_pipeline.parity.callbacks.v1",
        "test.llm.mock_parity.generic.batch_api.v1",
    ],
)
def test_the_topics_of_the_engine_of_suites_and_of_parity_are_accepted(topic):
    async def script(lab):
        response = await lab.client.post("/api/v1/comparison", json=body() | {"callback_topic": topic})
        assert response.status_code == 202

    in_lab(script)


@pytest.mark.parametrize(("topics", "status"), [(["other.*"], 202), (["other.v[1]"], 400), ([], 400), (["*"], 202)])
def test_a_deployment_lists_its_own_topics(topics, status):
    async def script(lab):
        response = await lab.client.post("/api/v1/comparison", json=body() | {"callback_topic": "other.v2"})
        assert response.status_code == status

    in_lab(script, callback_topics=topics)


def test_a_provider_that_is_not_registered_is_named_with_those_that_are():
    message, details = refusal("CONFIGURATION_ERROR", settings=OPENAI, provider_override="anthropic")
    assert message == "Provider 'anthropic' is not registered."
    assert details == {"config_key": "provider_override", "registered_providers": ["openai", "mock"]}


@pytest.mark.parametrize("mocked", [False, True])
def test_a_provider_that_is_switched_off_is_never_asked_whatever_keys_there_are(mocked):
    fake = FAKES[Provider.OPENAI]()
    settings = OPENAI | {"default_llm_provider": "mock", "openai_enabled": False, "use_mock_llm": mocked}
    settings |= {"transport": fake.transport()}
    message, details = refusal("CONFIGURATION_ERROR", settings=settings, provider_override="openai")
    assert message == "Provider 'openai' is switched off: LLM_PROVIDER_SERVICE_OPENAI_ENABLED is false."
    assert "openai" not in details["registered_providers"]

    async def script(lab):
        trial = await lab.client.post("/api/v1/providers/openai/test")
        assert (trial.status_code, trial.json()["error"]) == (400, "Provider is not registered")
        assert "LLM_PROVIDER_SERVICE_OPENAI_ENABLED" in trial.json()["details"]
        health = (await lab.client.get("/healthz")).json()
        assert health["providers"]["openai"] == {"enabled": False, "configured": True}

    in_lab(script, **settings)
    assert fake.received == []


def test_the_mock_can_be_switched_off():
    _, details = refusal("CONFIGURATION_ERROR", settings={"allow_mock_provider": False})
    assert details["registered_providers"] == []


def test_under_use_mock_llm_the_mock_answers_for_everyone_in_their_name():
    async def script(lab):
        for number, name in enumerate(["anthropic", "openai", "google", "openrouter", "mock"]):
            await lab.post(number, provider_override=name)
            result = await lab.next_result()
            assert result.provider == name
            assert result.request_metadata["resolved_provider"] == name

    in_lab(script, use_mock_llm=True, allow_mock_provider=False)


def test_an_unknown_model_is_refused_with_the_nearest_name_and_all_of_them():
    message, details = refusal("LLM_INVALID_CONFIG", provider_override="openai", model_override="gpt-5.2")
    assert message.startswith("'gpt-5.2' is not a model of openai. Did you mean 'gpt-5.1'? Known: ")
    assert "gpt-4o-mini-2024-07-18" in message
    assert details == {"fields": {"model_override": message}}


@pytest.mark.parametrize(
    ("provider", "alias", "dated"),
    [
        ("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("openai", "gpt-4o", "gpt-4o-2024-11-20"),
        ("openai", "gpt-5", "gpt-5-2025-08-07"),
        ("openai", "gpt-4.1", "gpt-4.1-2025-04-14"),
        ("anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        ("openrouter", "claude-haiku-4-5", "anthropic/claude-haiku-4-5-20251001"),
    ],
)
def test_a_name_without_its_date_is_answered_with_the_dated_one(provider, alias, dated):
    message, _ = refusal("LLM_INVALID_CONFIG", provider_override=provider, model_override=alias)
    assert message.startswith(f"'{alias}' is not a model of {provider}. Did you mean '{dated}'? ")


def test_a_model_of_another_provider_is_unknown():
    refusal("LLM_INVALID_CONFIG", provider_override="anthropic", model_override="gpt-5.1")


def test_a_prompt_in_the_models_place_is_not_repeated():
    for provider in ("openai", "mock"):
        _, details = refusal("LLM_INVALID_CONFIG", provider_override=provider, model_override=ESSAY)
        assert details == {"fields": {"model_override": "A model's name has 1 to 128 letters, digits or '._:/@+-'."}}


@pytest.mark.parametrize(
    ("provider", "model", "overrides", "field", "told"),
    [
        ("openai", "gpt-4.1-2025-04-14", {"reasoning_effort": "low"}, "reasoning_effort", "It takes: none."),
        ("openai", "gpt-4.1-2025-04-14", {"output_verbosity": "low"}, "output_verbosity", "Leave it out."),
        ("openai", "gpt-5.1", {"max_tokens_override": 16385}, "max_tokens_override", "at most 16384 tokens"),
        ("openai", None, {"max_tokens_override": 16385}, "max_tokens_override", "gpt-5.1 writes at most 16384"),
        ("google", None, {"output_verbosity": "high"}, "output_verbosity", "does not take 'high'"),
    ],
)
def test_what_a_model_cannot_do_is_refused_by_field(provider, model, overrides, field, told):
    if model is not None:
        overrides = {**overrides, "model_override": model}
    message, details = refusal("LLM_INVALID_CONFIG", provider_override=provider, **overrides)
    assert list(details["fields"]) == [field]
    assert told in message


def test_all_that_does_not_fit_is_told_at_once():
    _, details = refusal(
        "LLM_INVALID_CONFIG",
        provider_override="openai",
        model_override="gpt-4.1-2025-04-14",
        max_tokens_override=16385,
        reasoning_effort="low",
        output_verbosity="high",
    )
    assert list(details["fields"]) == ["max_tokens_override", "reasoning_effort", "output_verbosity"]


def test_what_a_model_can_do_is_accepted():
    async def script(lab):
        for number, overrides in enumerate(
            [
                {"provider_override": "openai", "model_override": "gpt-5.1", "reasoning_effort": "low"},
                {"provider_override": "openai", "output_verbosity": "high", "max_tokens_override": 16384},
                {"provider_override": "google", "reasoning_effort": "none"},
                # The CJ engine always sends a temperature; a model that takes none is asked without it.
                {"provider_override": "openai", "model_override": "gpt-5.1", "temperature_override": 0.2},
            ]
        ):
            assert (await lab.post(number, **overrides)).status_code == 202

    in_lab(script, use_mock_llm=True)


def test_limits_of_a_request_without_a_model_are_those_of_the_default_in_the_settings():
    settings = {"use_mock_llm": True, "openai_default_model": "gpt-4.1-2025-04-14"}
    message, _ = refusal("LLM_INVALID_CONFIG", settings=settings, provider_override="openai", reasoning_effort="low")
    assert message.startswith("gpt-4.1-2025-04-14 does not take 'low'.")


def test_a_default_model_that_nobody_knows_is_found_at_the_start():
    async def script(_):
        raise AssertionError("it started")

    with pytest.raises(UnknownModel, match="'gpt-6' is not a model of openai"):
        in_lab(script, use_mock_llm=True, openai_default_model="gpt-6")


MANIFEST = """
schema_version: 1
replaces_built_in: true
defaults: {openai: gpt-5.1}
models:
  - {model_id: gpt-5.1, provider: openai, display_name: GPT-5.1, model_family: gpt-5, api_version: v1,
     structured_output_method: json_schema}
  - {model_id: gpt-4, provider: openai, display_name: GPT-4, model_family: gpt-4, api_version: v1,
     structured_output_method: json_schema, is_deprecated: true}
  - {model_id: gpt-3, provider: openai, display_name: GPT-3, model_family: gpt-3, api_version: v1,
     structured_output_method: json_schema, is_deprecated: true, is_retired: true}
"""


def test_a_deprecated_model_is_accepted_and_a_retired_one_is_not(tmp_path):
    path = tmp_path / "models.yaml"
    path.write_text(MANIFEST)

    async def script(lab):
        listed = (await lab.client.get("/api/v1/models?provider=openai")).json()["providers"]["openai"]
        assert [model["model_id"] for model in listed] == ["gpt-5.1"]
        assert (await lab.post(1, provider_override="openai", model_override="gpt-4")).status_code == 202
        response = await lab.post(2, provider_override="openai", model_override="gpt-3")
        details = assert_nested(response, "LLM_INVALID_CONFIG")
        assert details == {"fields": {"model_override": "gpt-3 is retired. Use one of: gpt-5.1."}}
        everything = (await lab.client.get("/api/v1/models?include_deprecated=true")).json()
        assert everything["total_models"] == 3

    # The other providers are not registered, so that a manifest without their models will do.
    in_lab(script, model_manifest_path=path, **OPENAI)


def series(metrics, name):
    return [line for line in metrics.splitlines() if line.startswith(f"llm_provider_{name}{{")]


def test_the_mock_plays_any_model_and_metrics_call_those_nobody_knows_other():
    async def script(lab):
        for number, model in enumerate(["team/judge@v1:beta", "judge-2", "judge-3", "gpt-5.1", "mock-model-v1"]):
            assert (await lab.post(number, model_override=model)).status_code == 202
            result = await lab.next_result()
            assert (result.model, result.request_metadata["resolved_model"]) == (model, model)
        await lab.post(9)
        labels = 'model="{}",provider="mock",request_type="comparison",status="queued"'
        assert sorted(series((await lab.client.get("/metrics")).text, "requests_total")) == [
            f"llm_provider_requests_total{{{labels.format(model)}}} {count}"
            for model, count in [("default", 1.0), ("gpt-5.1", 1.0), ("mock-model-v1", 1.0), ("other", 3.0)]
        ]

    in_lab(script)


def test_refused_requests_add_no_series_of_their_own():
    async def script(lab):
        for number in range(20):
            await lab.post(number, provider_override="openai", model_override=f"made-up-{number}")
            await lab.post(number, model_override=f"{ESSAY} {number}")
            await lab.post_text(f'{{"user_prompt": "{number}"}}')
        text = (await lab.client.get("/metrics")).text
        assert series(text, "requests_total") == [
            'llm_provider_requests_total{model="other",provider="openai",request_type="comparison",status="failed"} '
            "20.0",
            'llm_provider_requests_total{model="other",provider="mock",request_type="comparison",status="failed"} 20.0',
            'llm_provider_requests_total{model="unknown",provider="unknown",request_type="comparison",status="failed"} '
            "20.0",
        ]
        assert "made-up" not in text

    in_lab(script, use_mock_llm=True)
