"""What became of a request, models, the admin's routes, unknown paths, counting."""

from __future__ import annotations

import asyncio

import pytest

from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.services.lps.queue import memory as memory_queue
from tests.services.lps.lab import correlation_id, in_lab, mode

ONE_SECOND_EACH = mode(latency={"model": "constant", "ms": 1000})
UNKNOWN_ID = "0da79c13-b494-8759-891a-adeb38cb4beb"


async def known(lab, queue_id):
    """(status body, results' HTTP status) of a request."""
    status = await lab.client.get(f"/api/v1/status/{queue_id}")
    assert status.status_code == 200
    result = await lab.client.get(f"/api/v1/results/{queue_id}")
    if result.status_code == 202:
        assert result.json() == status.json()
    return status.json(), result.status_code


def test_a_request_is_queued_then_processing_then_completed():
    async def script(lab):
        await lab.post(0)
        queue_id = (await lab.post(1)).json()["queue_id"]
        told = {
            "queue_id": queue_id,
            "correlation_id": str(correlation_id(1)),
            "status": "queued",
            "attempts": 0,
            "callback_published": False,
            "result_location": None,
        }
        assert await known(lab, queue_id) == (told, 202)
        await asyncio.sleep(1.5)
        assert await known(lab, queue_id) == (told | {"status": "processing"}, 202)
        await lab.next_bytes()
        published = await lab.next_bytes()
        done = {"status": "completed", "callback_published": True, "result_location": f"/api/v1/results/{queue_id}"}
        assert await known(lab, queue_id) == (told | done, 200)
        result = await lab.client.get(done["result_location"])
        assert result.headers["Content-Type"] == "application/json"
        assert result.content == published

    in_lab(script, ONE_SECOND_EACH)


def test_a_request_that_fails_says_so_with_its_attempts_and_its_error():
    async def script(lab):
        queue_id = (await lab.post()).json()["queue_id"]
        await asyncio.sleep(0.5)  # the first attempt has failed, the second is due after a second
        assert (await known(lab, queue_id))[0]["attempts"] == 1
        published = await lab.next_json()
        status, http = await known(lab, queue_id)
        assert (status["status"], status["attempts"], http) == ("failed", 2, 200)
        result = (await lab.client.get(f"/api/v1/results/{queue_id}")).json()
        assert result == published
        assert result["data"]["error_detail"]["error_code"] == "EXTERNAL_SERVICE_ERROR"
        assert result["data"]["winner"] is None

    in_lab(script, mock_error_rate=1.0, mock_error_codes=(503,), queue_max_retries=2)


def test_a_request_that_expires_says_so():
    async def script(lab):
        await lab.post(0)
        queue_id = (await lab.post(1)).json()["queue_id"]
        await asyncio.sleep(2.0)
        assert (await known(lab, queue_id))[0]["status"] == "expired"

    # 0.36 s to live, and the turn of the first takes 1 s.
    in_lab(script, ONE_SECOND_EACH, queue_request_ttl_hours=0.0001)


def test_an_unknown_id_is_a_404_and_no_id_at_all_a_400():
    async def script(lab):
        for route in ("status", "results"):
            response = await lab.client.get(f"/api/v1/{route}/{UNKNOWN_ID}")
            assert (response.status_code, response.json()["error"]) == (404, "Unknown queue_id")
            response = await lab.client.get(f"/api/v1/{route}/my%20essay")
            assert (response.status_code, response.json()) == (400, {"error": "queue_id is not a UUID"})

    in_lab(script)


def test_a_result_that_is_no_longer_kept_is_a_410(monkeypatch):
    monkeypatch.setattr(memory_queue, "KEPT_CALLBACKS", 1)

    async def script(lab):
        queue_id = (await lab.post(0)).json()["queue_id"]
        await lab.next_result()
        assert (await known(lab, queue_id))[1] == 200
        await lab.post(1)
        await lab.next_result()
        status, http = await known(lab, queue_id)
        assert http == 410
        assert (status["status"], status["callback_published"], status["result_location"]) == ("completed", True, None)
        response = await lab.client.get(f"/api/v1/results/{queue_id}")
        assert response.json() == {
            "error": "Result no longer kept",
            "details": "It was published as a callback; its status is completed.",
        }

    in_lab(script)


def test_models_are_listed_by_provider_without_the_mock():
    async def script(lab):
        told = (await lab.client.get("/api/v1/models")).json()
        assert {provider: len(models) for provider, models in told["providers"].items()} == {
            "anthropic": 2,
            "openai": 9,
            "google": 1,
            "openrouter": 1,
        }
        assert told["total_models"] == 13
        haiku = told["providers"]["anthropic"][0]
        assert haiku["model_id"] == "claude-haiku-4-5-20251001"
        assert haiku["release_date"] == "Wed, 01 Oct 2025 00:00:00 GMT"
        assert (haiku["max_tokens"], haiku["context_window"]) == (64_000, 200_000)

    in_lab(script)


def test_models_of_one_provider():
    async def script(lab):
        told = (await lab.client.get("/api/v1/models?provider=google")).json()
        assert list(told["providers"]) == ["google"]
        assert told["total_models"] == 1

    in_lab(script)


@pytest.mark.parametrize("named", ["mock", "", "Essay", "OpenAI"])
def test_a_provider_that_cannot_be_listed_is_a_400_that_names_those_that_can(named):
    async def script(lab):
        response = await lab.client.get("/api/v1/models", params={"provider": named})
        assert response.status_code == 400
        assert response.json() == {
            "error": "Unknown provider",
            "valid_providers": ["anthropic", "openai", "google", "openrouter"],
        }

    in_lab(script)


def test_include_deprecated_is_true_or_false_in_any_spelling_and_nothing_else():
    async def script(lab):
        for given, status in [("true", 200), ("True", 200), ("FALSE", 200), ("0", 200), ("yes", 400), ("", 400)]:
            response = await lab.client.get("/api/v1/models", params={"include_deprecated": given})
            assert response.status_code == status, given

    in_lab(script)


@pytest.mark.parametrize(
    ("expression", "use_mock_llm", "told"),
    [
        ("default", False, {"use_mock_llm": False, "mock_mode": None, "default_provider": "openai"}),
        (
            "cj_generic_batch",
            True,
            {"use_mock_llm": True, "mock_mode": "cj_generic_batch", "default_provider": "openai"},
        ),
        ("default+coin", True, {"use_mock_llm": True, "mock_mode": "default+coin", "default_provider": "openai"}),
    ],
)
@pytest.mark.parametrize("key", [None, "s3cret"])
def test_admin_says_which_mode_is_on_to_who_has_no_key_too(expression, use_mock_llm, told, key):
    async def script(lab):
        response = await lab.client.get("/admin/mock-mode")
        assert (response.status_code, response.json()) == (200, told)

    in_lab(script, load_mode(expression), use_mock_llm=use_mock_llm, admin_api_key=key)


def test_both_routes_name_the_default_provider_of_the_settings():
    async def script(lab):
        for path in ("/admin/mock-mode", "/api/v1/providers"):
            assert (await lab.client.get(path)).json()["default_provider"] == "anthropic"

    in_lab(script, use_mock_llm=True, default_llm_provider="anthropic")


GUARDED = [("GET", "/admin/mock-mode"), ("POST", "/api/v1/providers/mock/test")]


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_admin_can_be_switched_off_for_everyone(method, path):
    async def script(lab):
        response = await lab.client.request(method, path, headers={"X-Admin-Api-Key": "s3cret"})
        assert (response.status_code, response.json()) == (404, {"error": "admin_api_disabled"})

    in_lab(script, admin_api_enabled=False, admin_api_key="s3cret")


@pytest.mark.parametrize(("method", "path"), GUARDED[1:])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-Admin-Api-Key": "s3cre"}, 401),
        ({"X-Admin-Api-Key": "s3cret"}, 200),
        ({"Authorization": "Bearer s3cret"}, 200),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic s3cret"}, 401),
        ({"X-Admin-Api-Key": "wrong", "Authorization": "Bearer s3cret"}, 401),
    ],
)
def test_an_admin_key_is_wanted_when_there_is_one(method, path, headers, status):
    async def script(lab):
        response = await lab.client.request(method, path, headers=headers)
        assert response.status_code == status
        if status == 401:
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert response.json()["error"] == "Admin key required"
            assert "s3cret" not in response.text

    in_lab(script, admin_api_key="s3cret")


@pytest.mark.parametrize("key", [None, ""])
def test_without_an_admin_key_nobody_needs_one(key):
    async def script(lab):
        response = await lab.client.post("/api/v1/providers/mock/test", headers={"X-Admin-Api-Key": "whatever"})
        assert response.status_code == 200

    in_lab(script, admin_api_key=key)


def test_everything_else_needs_no_admin_key():
    async def script(lab):
        assert (await lab.post()).status_code == 202
        for path in ("/healthz", "/metrics", "/openapi.json", "/api/v1/models", "/api/v1/providers"):
            assert (await lab.client.get(path)).status_code == 200

    in_lab(script, admin_api_key="s3cret")


@pytest.mark.parametrize("path", ["/", "/api/v1/comparisons", "/api/v1/comparison/", "/healthz/", "/api/v1/status/"])
def test_an_unknown_path_is_a_flat_404_and_never_a_redirect(path):
    async def script(lab):
        response = await lab.client.get(path)
        assert (response.status_code, response.json()) == (404, {"error": "Not Found"})

    in_lab(script)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/v1/comparison", {"POST"}),
        ("PUT", "/api/v1/comparison", {"POST"}),
        ("DELETE", f"/api/v1/status/{UNKNOWN_ID}", {"GET", "HEAD"}),
        ("GET", "/api/v1/providers/mock/test", {"POST"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_a_flat_405_that_names_the_right_ones(method, path, allowed):
    async def script(lab):
        response = await lab.client.request(method, path)
        assert (response.status_code, response.json()) == (405, {"error": "Method Not Allowed"})
        assert set(response.headers["Allow"].split(", ")) == allowed

    in_lab(script)


def test_http_requests_are_counted_by_route_never_by_path():
    async def script(lab):
        for number in range(5):
            await lab.client.get(f"/api/v1/status/{correlation_id(number)}")
            await lab.client.request(f"METHOD{number}", f"/made/up/{number}")
        text = (await lab.client.get("/metrics")).text
        counted = [line for line in text.splitlines() if line.startswith("llm_provider_http_requests_total{")]
        assert counted == [
            'llm_provider_http_requests_total{endpoint="/api/v1/status/{queue_id}",method="GET",status_code="404"} 5.0',
            'llm_provider_http_requests_total{endpoint="other",method="other",status_code="404"} 5.0',
        ]

    in_lab(script)


def test_metrics_are_prometheus_text():
    async def script(lab):
        await lab.post()
        await lab.next_result()
        response = await lab.client.get("/metrics")
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert 'llm_provider_queue_depth{queue_type="total"} 0.0' in response.text

    in_lab(script)
