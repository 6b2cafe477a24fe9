"""Posting a comparison: what is accepted, what is refused, and that no refusal repeats what was sent."""

from __future__ import annotations

import asyncio
import json
import logging

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.services.lps.http.app import build_app
from cj_pipeline.services.lps.http.comparison import parse_request
from cj_pipeline.services.lps.http.refusals import FlatRefusal, Refusal
from cj_pipeline.services.lps.service import LlmProviderService
from cj_pipeline.services.lps.settings import LpsSettings
from tests.services.lps.lab import ORIGIN, TOPIC, body, correlation_id, in_lab, mode

ESSAY = "ZYZZYVA"  # stands for essay text: it must not come back
ONE_SECOND_EACH = mode(latency={"model": "constant", "ms": 1000})


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
        assert response.headers["Content-Type"] == "application/json"
        told = response.json()
        assert told.pop("queue_id") == "0da79c13-b494-8759-891a-adeb38cb4beb"  # follows from the correlation id
        assert TOPIC in told.pop("message")
        assert told == {"status": "queued", "estimated_wait_minutes": None}

    in_lab(script)


def test_a_request_without_a_correlation_id_gets_one():
    async def script(lab):
        response = await lab.post_text(without("correlation_id"))
        assert response.status_code == 202
        status = await lab.client.get(f"/api/v1/status/{response.json()['queue_id']}")
        result = await lab.next_result()
        assert status.json()["correlation_id"] == str(result.correlation_id)
        assert result.request_id == response.json()["queue_id"]

    in_lab(script)


def test_unknown_keys_are_ignored_and_an_empty_prompt_is_allowed():
    async def script(lab):
        response = await lab.client.post("/api/v1/comparison", json=body(prompt="") | {"future": {"x": 1}})
        assert response.status_code == 202
        assert (await lab.next_result()).token_usage.prompt_tokens == 1

    in_lab(script)


def test_a_repeated_request_is_accepted_again_and_answered_once():
    async def script(lab):
        first = await lab.post()
        assert (await lab.post()).json() == first.json()
        await lab.next_result()
        assert (await lab.post()).json() == first.json()  # also once it was answered
        assert await lab.no_more_callbacks()

    in_lab(script, ONE_SECOND_EACH)


def test_another_request_under_the_same_correlation_id_is_a_409():
    async def script(lab):
        await lab.post(prompt="the first")
        response = await lab.post(prompt=ESSAY)
        assert response.status_code == 409
        assert response.json() == {
            "error": "Correlation id already in use",
            "details": "Another request was posted under this correlation_id; give each its own.",
            "correlation_id": str(correlation_id(0)),
        }
        await lab.next_result()
        assert (await lab.post(prompt=ESSAY)).status_code == 409  # also once the first was answered
        assert await lab.no_more_callbacks()

    in_lab(script)


GOOD = json.dumps(body())


def changed(**fields):
    return json.dumps({**body(prompt=ESSAY), **fields})


def without(*names):
    return json.dumps({key: value for key, value in body(prompt=ESSAY).items() if key not in names})


def overridden(**overrides):
    return changed(llm_config_overrides={"provider_override": "mock", **overrides})


JSON = "application/json"
OVERRIDE = "Invalid request format: llm_config_overrides."

FLAT_CASES = [
    pytest.param(GOOD, "text/plain", "No JSON data provided", id="not said to be JSON"),
    pytest.param(GOOD, "", "No JSON data provided", id="no content type"),
    pytest.param("{ }", JSON, "No JSON data provided", id="empty object"),
    pytest.param("", JSON, "No JSON data provided", id="empty body"),
    pytest.param("null", JSON, "No JSON data provided", id="null"),
    pytest.param('{"user_prompt": "' + ESSAY, JSON, "Malformed JSON", id="malformed"),
    pytest.param(b'{"user_prompt": "\xff"}', JSON, "Malformed JSON", id="not UTF-8"),
    pytest.param(changed(metadata={"x": float("nan")}), JSON, "Malformed JSON", id="NaN"),
    pytest.param("[" * 100_000, JSON, "Malformed JSON", id="deep nesting"),
    pytest.param("[]", JSON, "Invalid request format: (body): ", id="array"),
    pytest.param(f'"{ESSAY}"', JSON, "Invalid request format: (body): ", id="string"),
    pytest.param(without("user_prompt"), JSON, "Invalid request format: user_prompt: Field required", id="missing"),
    pytest.param(changed(user_prompt=[ESSAY]), JSON, "Invalid request format: user_prompt: ", id="wrong type"),
    pytest.param(
        changed(prompt_blocks=[{"target": ESSAY}]), JSON, "Invalid request format: prompt_blocks.0.", id="block"
    ),
    pytest.param(
        changed(correlation_id=ESSAY),
        JSON,
        "Invalid request format: correlation_id: Input should be a valid UUID",
        id="not a UUID",
    ),
    pytest.param(overridden(provider_override=ESSAY), JSON, f"{OVERRIDE}provider_override: ", id="unknown provider"),
    pytest.param(overridden(temperature_override=2.1), JSON, f"{OVERRIDE}temperature_override: ", id="too hot"),
    pytest.param(overridden(max_tokens_override=0), JSON, f"{OVERRIDE}max_tokens_override: ", id="no tokens"),
    pytest.param(
        overridden(max_tokens_override=0.0), JSON, f"{OVERRIDE}max_tokens_override: ", id="no tokens, as float"
    ),
    pytest.param(overridden(max_tokens_override="64"), JSON, f"{OVERRIDE}max_tokens_override: ", id="number in quotes"),
    pytest.param(overridden(max_tokens_override=True), JSON, f"{OVERRIDE}max_tokens_override: ", id="true for 1"),
    pytest.param(overridden(max_tokens_override=64.5), JSON, f"{OVERRIDE}max_tokens_override: ", id="half a token"),
    pytest.param(overridden(reasoning_effort=ESSAY), JSON, f"{OVERRIDE}reasoning_effort: ", id="unknown effort"),
    pytest.param(overridden(output_verbosity="none"), JSON, f"{OVERRIDE}output_verbosity: ", id="unknown verbosity"),
    pytest.param(changed(llm_config_overrides=None), JSON, "Provider configuration required", id="none"),
    pytest.param(changed(llm_config_overrides={}), JSON, "Provider configuration required", id="empty"),
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
        assert (await lab.service.depth()).total == 0

    in_lab(script)


def test_a_whole_number_may_be_written_as_a_float():
    request = parse_request(JSON, overridden(max_tokens_override=4096.0, temperature_override=0).encode())
    assert request.llm_config_overrides.max_tokens_override == 4096
    assert request.llm_config_overrides.temperature_override == 0.0


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
    assert "Ü" not in str(refusal.answer(ORIGIN))


def test_every_json_media_type_is_json():
    for kind in ("application/json", "application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"):
        assert parse_request(kind, GOOD.encode()).callback_topic == TOPIC


async def posted(app, chunks, **headers):
    """(status, body) of a POST whose body comes in these chunks, and whose headers nobody checks for us."""
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting[-1]["more_body"] = False
    sent = []

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    raw = {"content_type": JSON, **headers}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/comparison",
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in raw.items()],
    }
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"]), len(waiting)


TOO_LARGE = {"error": "Request too large", "details": "A request may have 1000 bytes."}


@pytest.mark.parametrize(
    ("chunks", "headers"),
    [
        pytest.param([b"x" * 1001], {"content_length": "1001"}, id="honest"),
        pytest.param([b"x"], {"content_length": "1001"}, id="announced, and not read"),
        pytest.param([b"x"], {"content_length": "9" * 5000}, id="more digits than Python reads"),
        pytest.param([b"x" * 1001], {"content_length": "10"}, id="a lie"),
        pytest.param([b"x" * 1001], {}, id="one chunk"),
        pytest.param([b"x" * 600, b"x" * 600, b"x" * 600], {}, id="chunked"),
        pytest.param([b"x" * 600, b"x" * 2000, b"x"], {}, id="a large chunk later"),
    ],
)
def test_a_body_that_is_too_large_is_a_413(chunks, headers):
    async def script(lab):
        status, told, _ = await posted(build_app(lab.service), chunks, **headers)
        assert (status, told) == (413, TOO_LARGE)

    in_lab(script, max_request_bytes=1000)


def test_a_body_is_not_read_further_than_it_takes_to_refuse_it():
    async def script(lab):
        *_, unread = await posted(build_app(lab.service), [b"x" * 600] * 10)
        assert unread == 8

    in_lab(script, max_request_bytes=1000)


def test_a_body_of_exactly_the_limit_and_in_chunks_is_accepted():
    async def script(lab):
        text = GOOD.encode()
        status, told, _ = await posted(build_app(lab.service), [text[:100], b"", text[100:]])
        assert (status, told["status"]) == (202, "queued")

    in_lab(script, max_request_bytes=len(GOOD))


def test_a_full_queue_is_a_503_that_says_when_to_come_back():
    async def script(lab):
        assert [(await lab.post(number)).status_code for number in range(3)] == [202, 202, 503]
        response = await lab.post(3)
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "300"
        error = response.json()["error"]
        assert error["code"] == "LLM_QUEUE_FULL"
        assert error["correlation_id"] == str(correlation_id(3))
        assert error["timestamp"] == "2025-12-01T14:24:16Z"
        assert error["details"] == {"queue_size": 2, "queue_max_size": 2, "limit": "size", "retry_after_seconds": 300}
        assert (await lab.post(1)).status_code == 202  # known already, so it needs no room
        for _ in range(2):
            await lab.next_result()
        assert await lab.no_more_callbacks()
        assert (await lab.post(3)).status_code == 202

    in_lab(script, ONE_SECOND_EACH, queue_max_size=2)


def test_from_the_high_watermark_on_requests_are_refused_until_below_the_low_one():
    async def script(lab):
        # 8 of 10 are accepted: at 0.8 the queue refuses.
        assert [(await lab.post(number)).status_code for number in range(9)] == [202] * 8 + [503]
        statuses = []
        for number in range(3):
            await lab.next_result()
            statuses.append((await lab.post(20 + number)).status_code)
        # 7 and 6 of 10 are not below 0.6; 5 are.
        assert statuses == [503, 503, 202]

    in_lab(script, ONE_SECOND_EACH, queue_max_size=10)


def test_memory_fills_the_queue_as_well_as_numbers_do():
    async def script(lab):
        # 0.01 MB are 10,486 bytes; two requests of 5 kB are 95 % of them.
        statuses = [(await lab.post(number, prompt="x" * 4600)).status_code for number in range(3)]
        assert statuses == [202, 202, 503]

    in_lab(script, ONE_SECOND_EACH, queue_max_memory_mb=0.01)


def test_a_service_that_is_not_running_accepts_nothing():
    async def main():
        service = LlmProviderService(LpsSettings(), load_mode("default"), MemoryBus(), LoopClock(ORIGIN))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(build_app(service)), base_url="http://lps"
        ) as client:
            response = await client.post("/api/v1/comparison", json=body())
            assert response.status_code == 503
            assert response.json() == {"error": "Service is not running", "correlation_id": str(correlation_id(0))}
            assert response.headers["Retry-After"] == "5"
            async with service:
                assert (await client.post("/api/v1/comparison", json=body())).status_code == 202

    asyncio.run(main())


def test_what_breaks_inside_is_a_flat_500_and_neither_it_nor_the_log_has_any_text(monkeypatch, caplog):
    async def script(lab):
        async def breaks(*_args):
            raise RuntimeError(ESSAY)

        monkeypatch.setattr(lab.service, "submit", breaks)
        monkeypatch.setattr(lab.service, "lookup", breaks)
        queue_id = correlation_id(0)
        for response in (await lab.post(), await lab.client.get(f"/api/v1/status/{queue_id}")):
            assert (response.status_code, response.json()) == (500, {"error": "Internal server error"})
            assert response.headers["X-Trace-ID"]
        metrics = (await lab.client.get("/metrics")).text
        assert 'endpoint="/api/v1/comparison",method="POST",status_code="500"} 1.0' in metrics
        assert 'endpoint="/api/v1/status/{queue_id}",method="GET",status_code="500"} 1.0' in metrics

    with caplog.at_level(logging.DEBUG):
        in_lab(script)
    assert "POST /api/v1/comparison broke: RuntimeError" in caplog.messages
    assert "GET /api/v1/status/{queue_id} broke: RuntimeError" in caplog.messages
    assert ESSAY not in caplog.text


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
        told = refusal.answer(ORIGIN).model_dump_json()
        assert ESSAY not in told
        assert isinstance(refusal, FlatRefusal) or "callback_topic" in told
