from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.clock import LoopClock
from cj_pipeline.lps.app import build_app, parse_request
from cj_pipeline.lps.mode_files import load_mode
from cj_pipeline.lps.refusals import FlatRefusal, Refusal
from cj_pipeline.lps.service import LlmProviderService
from cj_pipeline.lps.settings import LpsSettings
from tests.lps.lab import ORIGIN, TOPIC, body, correlation_id, in_lab, mode

ESSAY = "ZYZZYVA"  # stands for essay text: it must not come back


def refused(text: bytes) -> Refusal | None:
    try:
        parse_request("application/json", text)
    except Refusal as refusal:
        return refusal
    return None


def test_an_accepted_request():
    async def script(lab):
        response = await lab.post()
        assert response.status_code == 202
        told = response.json()
        assert told.pop("queue_id") == "0da79c13-b494-8759-891a-adeb38cb4beb"  # follows from the correlation id
        assert TOPIC in told.pop("message")
        assert told == {"status": "queued", "estimated_wait_minutes": None}

    in_lab(script)


def test_unknown_keys_are_ignored_and_an_empty_prompt_is_allowed():
    async def script(lab):
        response = await lab.client.post("/api/v1/comparison", json=body(prompt="") | {"future": {"x": 1}})
        assert response.status_code == 202
        assert (await lab.next_result()).token_usage.prompt_tokens == 1

    in_lab(script)


GOOD = json.dumps(body())


def changed(**fields):
    return json.dumps({**body(prompt=ESSAY), **fields})


def without(*names):
    return json.dumps({key: value for key, value in body(prompt=ESSAY).items() if key not in names})


FLAT_CASES = [
    pytest.param(GOOD, "text/plain", "No JSON data provided", id="not said to be JSON"),
    pytest.param(GOOD, "", "No JSON data provided", id="no content type"),
    pytest.param("{ }", "application/json", "No JSON data provided", id="empty object"),
    pytest.param("", "application/json", "No JSON data provided", id="empty body"),
    pytest.param("null", "application/json", "No JSON data provided", id="null"),
    pytest.param('{"user_prompt": "' + ESSAY, "application/json", "Malformed JSON", id="malformed"),
    pytest.param(b'{"user_prompt": "\xff"}', "application/json", "Malformed JSON", id="not UTF-8"),
    pytest.param(changed(metadata={"x": float("nan")}), "application/json", "Malformed JSON", id="NaN"),
    pytest.param("[" * 100_000, "application/json", "Malformed JSON", id="deep nesting"),
    pytest.param("[]", "application/json", "Invalid request format: (body): ", id="array"),
    pytest.param(f'"{ESSAY}"', "application/json", "Invalid request format: (body): ", id="string"),
    pytest.param(
        without("user_prompt"), "application/json", "Invalid request format: user_prompt: Field required", id="missing"
    ),
    pytest.param(
        changed(user_prompt=[ESSAY]), "application/json", "Invalid request format: user_prompt: ", id="wrong type"
    ),
    pytest.param(
        changed(correlation_id=ESSAY),
        "application/json",
        "Invalid request format: correlation_id: Input should be a valid UUID",
        id="not a UUID",
    ),
    pytest.param(
        changed(llm_config_overrides={"provider_override": ESSAY}),
        "application/json",
        "Invalid request format: llm_config_overrides.provider_override: ",
        id="unknown provider",
    ),
    pytest.param(
        changed(llm_config_overrides={"provider_override": "mock", "temperature_override": 2.1}),
        "application/json",
        "Invalid request format: llm_config_overrides.temperature_override: ",
        id="too hot",
    ),
    pytest.param(changed(llm_config_overrides=None), "application/json", "Provider configuration required", id="none"),
    pytest.param(changed(llm_config_overrides={}), "application/json", "Provider configuration required", id="empty"),
]


@pytest.mark.parametrize(("text", "content_type", "error"), FLAT_CASES)
def test_a_request_that_is_not_well_formed_is_a_flat_400_without_its_text(text, content_type, error):
    async def script(lab):
        response = await lab.post_text(text, content_type)
        assert response.status_code == 400
        told = response.json()
        assert told["error"].startswith(error)
        assert told.keys() <= {"error", "details", "correlation_id"}
        assert ESSAY not in response.text
        assert lab.service.queue.depth().total == 0

    in_lab(script)


def test_a_refusal_for_want_of_a_provider_carries_the_correlation_id():
    async def script(lab):
        response = await lab.post_text(changed(llm_config_overrides=None))
        assert response.json()["correlation_id"] == str(correlation_id(0))
        assert "provider_override" in response.json()["details"]

    in_lab(script)


def test_not_even_one_character_of_the_input_is_quoted():
    # pydantic says which character is not of a UUID: "found `Ü` at 1".
    refusal = refused(json.dumps({**body(), "correlation_id": "Ü"}).encode())
    assert refusal is not None
    assert "Ü" not in str(refusal.body(ORIGIN))


def test_every_json_media_type_is_json():
    for kind in ("application/json", "application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"):
        assert parse_request(kind, GOOD.encode()).callback_topic == TOPIC


def assert_nested(response, code):
    error = response.json()["error"]
    assert error.keys() == {"code", "message", "correlation_id", "service", "timestamp", "details"}
    assert (error["code"], error["service"]) == (code, "llm_provider_service")
    assert error["timestamp"] == "2025-12-01T14:24:16Z"
    return error["details"]


def test_an_empty_topic_is_a_configuration_error():
    async def script(lab):
        response = await lab.post_text(changed(callback_topic=""))
        assert response.status_code == 400
        assert assert_nested(response, "CONFIGURATION_ERROR") == {"config_key": "callback_topic"}

    in_lab(script)


def test_a_provider_that_is_not_registered_is_a_configuration_error():
    async def script(lab):
        response = await lab.post(provider_override="openai")
        assert response.status_code == 400
        details = assert_nested(response, "CONFIGURATION_ERROR")
        assert details == {"config_key": "provider_override", "registered_providers": ["mock"]}
        assert response.json()["error"]["correlation_id"] == str(correlation_id(0))

    in_lab(script)


def test_under_use_mock_llm_the_mock_answers_for_everyone_in_their_name():
    async def script(lab):
        for number, name in enumerate(["anthropic", "openai", "google", "openrouter", "mock"]):
            await lab.post(number, provider_override=name)
            result = await lab.next_result()
            assert result.provider == name
            assert result.request_metadata["resolved_provider"] == "mock"

    in_lab(script, use_mock_llm=True, allow_mock_provider=False)


def test_a_full_queue_is_a_503_that_says_when_to_come_back():
    async def script(lab):
        assert [(await lab.post(number)).status_code for number in range(3)] == [202, 202, 503]
        response = await lab.post(3)
        assert response.headers["Retry-After"] == "300"
        details = assert_nested(response, "LLM_QUEUE_FULL")
        assert details == {"queue_size": 2, "queue_max_size": 2, "retry_after_seconds": 300}
        assert (await lab.post(1)).status_code == 202  # known already, so it needs no room
        for _ in range(2):
            await lab.next_result()
        assert await lab.no_more_callbacks()
        assert (await lab.post(3)).status_code == 202

    in_lab(script, mode(latency={"model": "constant", "ms": 1000}), queue_max_size=2)


def test_a_service_that_is_not_running_accepts_nothing():
    async def main():
        service = LlmProviderService(LpsSettings(), load_mode("default"), MemoryBus(), LoopClock(ORIGIN))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(build_app(service)), base_url="http://lps"
        ) as client:
            assert (await client.post("/api/v1/comparison", json=body())).status_code == 503
            assert (await client.get("/healthz")).status_code == 503
            async with service:
                assert (await client.post("/api/v1/comparison", json=body())).status_code == 202
                assert (await client.get("/healthz")).status_code == 200

    asyncio.run(main())


def test_unknown_paths_and_methods_are_flat_errors():
    async def script(lab):
        response = await lab.client.get("/api/v1/comparisons")
        assert (response.status_code, response.json()) == (404, {"error": "Not Found"})
        response = await lab.client.get("/api/v1/comparison")
        assert (response.status_code, response.json()) == (405, {"error": "Method Not Allowed"})

    in_lab(script)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(["user_prompt", "callback_topic", "correlation_id", "metadata", "llm_config_overrides"])


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(FIELDS, JSON_VALUES, max_size=3))
def test_whatever_is_sent_is_a_request_or_a_400_without_its_text(fields):
    refusal = refused(json.dumps({**body(prompt=ESSAY), **fields}).encode())
    if refusal is not None:
        assert refusal.status == 400
        told = json.dumps(refusal.body(ORIGIN))
        assert ESSAY not in told
        assert isinstance(refusal, FlatRefusal) or "callback_topic" in told


@pytest.mark.parametrize(
    ("expression", "use_mock_llm", "told"),
    [
        ("default", False, {"use_mock_llm": False, "mock_mode": None, "default_provider": "mock"}),
        ("cj_generic_batch", True, {"use_mock_llm": True, "mock_mode": "cj_generic_batch", "default_provider": "mock"}),
        ("default+coin", True, {"use_mock_llm": True, "mock_mode": "default+coin", "default_provider": "mock"}),
    ],
)
def test_admin_says_which_mode_is_on(expression, use_mock_llm, told):
    async def script(lab):
        response = await lab.client.get("/admin/mock-mode")
        assert (response.status_code, response.json()) == (200, told)

    in_lab(script, load_mode(expression), use_mock_llm=use_mock_llm)


def test_admin_can_be_switched_off():
    async def script(lab):
        response = await lab.client.get("/admin/mock-mode")
        assert (response.status_code, response.json()) == (404, {"error": "admin_api_disabled"})

    in_lab(script, admin_api_enabled=False)


def test_a_service_with_nothing_but_the_mock_is_healthy():
    async def script(lab):
        response = await lab.client.get("/healthz")
        assert response.status_code == 200
        assert response.json() == {
            "service": "llm_provider_service",
            "status": "healthy",
            "message": "The service answers comparisons.",
            "version": "1.0.0",
            "checks": {"service_responsive": True},
            "environment": "ci",
            "providers": {"mock": {"enabled": True, "configured": True}},
            "mock_mode": None,
            "mock_provider": {"allowed": True, "registered": True, "seed": 42},
        }

    in_lab(script, environment="ci")


def test_a_service_without_any_provider_is_not():
    async def script(lab):
        response = await lab.client.get("/healthz")
        assert response.status_code == 503
        assert "ALLOW_MOCK_PROVIDER" in response.json()["message"]

    in_lab(script, allow_mock_provider=False)


def test_the_mode_comes_from_the_settings_when_none_is_given():
    async def main():
        settings = LpsSettings(mock_mode="cj_generic_batch+instant")
        service = LlmProviderService.from_settings(settings, MemoryBus(), LoopClock(ORIGIN))
        assert service.mode == load_mode("cj_generic_batch+instant")

    asyncio.run(main())
