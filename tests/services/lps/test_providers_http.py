"""Who can be asked, how they have been doing, and asking one of them past the queue."""

from __future__ import annotations

import httpx
import pytest

from cj_pipeline.contracts.enums import Provider
from tests.services.lps.lab import in_lab, mode
from tests.services.lps.providers.fakes import FAKES, KEYS

ONE_SECOND_EACH = mode(latency={"model": "constant", "ms": 1000})


def provider(report, name):
    return next(told for told in report.json()["providers"] if told["name"] == name)


def test_before_anything_was_asked_the_report_has_no_figures():
    async def script(lab):
        report = await lab.client.get("/api/v1/providers")
        assert report.json() | {"providers": None} == {
            "providers": None,
            "default_provider": "openai",
            "selection_strategy": "by_request",
            "total_requests_today": 0,
            "total_cost_today": 0,
        }
        assert [told["name"] for told in report.json()["providers"]] == [
            "anthropic",
            "openai",
            "google",
            "openrouter",
            "mock",
        ]
        assert provider(report, "openai") == {
            "name": "openai",
            "enabled": False,
            "available": False,
            "circuit_breaker_state": "closed",
            "default_model": "gpt-5.1",
            "last_success": None,
            "last_failure": None,
            "failure_count": 0,
            "average_response_time_ms": None,
        }
        assert provider(report, "mock")["available"]
        assert provider(report, "mock")["default_model"] == "mock-model-v1"

    in_lab(script)


def test_the_default_model_is_the_one_that_is_asked():
    async def script(lab):
        report = await lab.client.get("/api/v1/providers")
        assert provider(report, "openai")["default_model"] == "gpt-4.1-2025-04-14"

    in_lab(script, openai_default_model="gpt-4.1-2025-04-14")


def test_the_report_tells_of_successes_and_failures():
    async def script(lab):
        await lab.post()
        await lab.next_result()
        report = await lab.client.get("/api/v1/providers")
        told = provider(report, "mock")
        assert (told["last_success"], told["last_failure"]) == ("2025-12-01T14:24:17+00:00", None)
        assert (told["failure_count"], told["average_response_time_ms"]) == (0, 1000.0)
        assert report.json()["total_requests_today"] == 1

    in_lab(script, ONE_SECOND_EACH)

    async def failing(lab):
        await lab.post()
        await lab.next_result()
        report = await lab.client.get("/api/v1/providers")
        told = provider(report, "mock")
        assert told["last_success"] is None
        assert told["last_failure"].startswith("2025-12-01T14:24:")
        assert (told["failure_count"], told["average_response_time_ms"]) == (2, None)
        assert report.json()["total_requests_today"] == 2

    in_lab(failing, mock_error_rate=1.0, mock_error_codes=(503,), queue_max_retries=1)


def openai(fake):
    return {"transport": fake.transport(), "openai_api_key": KEYS[Provider.OPENAI]}


def test_what_a_provider_costs_is_in_the_report():
    fake = FAKES[Provider.OPENAI]()

    async def script(lab):
        await lab.post(provider_override="openai", model_override="gpt-4o-2024-11-20")
        cost = (await lab.next_result()).cost_estimate
        assert cost > 0
        report = (await lab.client.get("/api/v1/providers")).json()
        assert report["total_cost_today"] == round(cost, 6)

    in_lab(script, **openai(fake))


def test_a_provider_whose_breaker_is_open_is_not_available():
    fake = FAKES[Provider.OPENAI]()

    async def script(lab):
        for _ in range(3):
            fake.then_error(500, "down")
            assert (await lab.client.post("/api/v1/providers/openai/test")).status_code == 502
        told = provider(await lab.client.get("/api/v1/providers"), "openai")
        assert (told["enabled"], told["available"], told["circuit_breaker_state"]) == (True, False, "open")
        assert told["failure_count"] == 3
        asked = len(fake.received)
        response = await lab.client.post("/api/v1/providers/openai/test")
        assert (response.status_code, len(fake.received)) == (502, asked)

    in_lab(script, **openai(fake))


def test_the_mock_passes_its_test():
    async def script(lab):
        response = await lab.client.post("/api/v1/providers/mock/test")
        assert response.status_code == 200
        assert response.json() == {
            "success": True,
            "provider": "mock",
            "message": "mock-model-v1 answered in 1000 ms.",
        }
        assert (await lab.service.depth()).total == 0
        assert await lab.no_more_callbacks()

    in_lab(script, ONE_SECOND_EACH)


def test_a_trial_counts_for_the_report_for_it_costs_as_much_as_any_other():
    fake = FAKES[Provider.OPENAI]()

    async def script(lab):
        response = await lab.client.post("/api/v1/providers/openai/test")
        assert response.status_code == 200
        report = await lab.client.get("/api/v1/providers")
        assert provider(report, "openai")["last_success"] == "2025-12-01T14:24:16+00:00"
        assert report.json()["total_requests_today"] == 1

    in_lab(script, **openai(fake))


def test_an_unknown_provider_cannot_be_tested():
    async def script(lab):
        response = await lab.client.post("/api/v1/providers/opnai/test")
        assert response.status_code == 400
        assert response.json() == {
            "error": "Unknown provider",
            "details": "Did you mean 'openai'? Known: anthropic, google, mock, openai, openrouter.",
        }

    in_lab(script)


def test_a_provider_without_a_key_cannot_be_tested():
    async def script(lab):
        response = await lab.client.post("/api/v1/providers/openai/test")
        assert response.status_code == 400
        assert response.json() == {
            "error": "Provider is not registered",
            "details": "Set its API key, or USE_MOCK_LLM.",
        }

    in_lab(script)


@pytest.mark.parametrize(("theirs", "ours"), [(500, 502), (401, 502), (429, 429)])
def test_a_failing_provider_fails_its_test_with_a_status_that_says_how(theirs, ours):
    fake = FAKES[Provider.OPENAI]()

    async def script(lab):
        fake.then_error(theirs, "no: The sun rises in the east")
        response = await lab.client.post("/api/v1/providers/openai/test")
        assert response.status_code == ours
        assert response.json()["error"] == "Provider test failed"
        assert "sun" not in response.text

    in_lab(script, **openai(fake))


@pytest.mark.parametrize(("error", "status"), [(httpx.ConnectError, 503), (httpx.ReadTimeout, 504)])
def test_a_provider_that_cannot_be_reached_fails_its_test(error, status):
    def unreachable(_request):
        raise error("nobody there")

    async def script(lab):
        response = await lab.client.post("/api/v1/providers/openai/test")
        assert response.status_code == status
        assert provider(await lab.client.get("/api/v1/providers"), "openai")["failure_count"] == 1

    in_lab(script, transport=httpx.MockTransport(unreachable), openai_api_key=KEYS[Provider.OPENAI])
