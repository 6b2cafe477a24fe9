"""Whether the service does its work, as orchestrators ask it."""

from __future__ import annotations

import asyncio

import httpx

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.services.lps.http.app import build_app
from cj_pipeline.services.lps.queue.queue import QueueUnavailable
from cj_pipeline.services.lps.service import LlmProviderService
from cj_pipeline.services.lps.settings import LpsSettings
from tests.services.lps.lab import ORIGIN, in_lab, lab
from tests.services.lps.providers.fakes import KEYS


def test_a_service_with_nothing_but_the_mock_is_healthy():
    async def script(lab):
        response = await lab.client.get("/healthz")
        assert response.status_code == 200
        no_key = {"enabled": True, "configured": False}
        providers = ("anthropic", "openai", "google", "openrouter")
        assert response.json() == {
            "service": "llm_provider_service",
            "status": "healthy",
            "message": "The service answers comparisons.",
            "version": "1.0.0",
            "checks": {"service_responsive": True, "dependencies_available": True},
            "dependencies": {
                "queue": {
                    "backend": "memory",
                    "processing_mode": "per_request",
                    "queued": 0,
                    "total": 0,
                    "max_size": 1000,
                },
                "redis": {"status": "not_used"},
                "bus": {"status": "healthy"},
            },
            "environment": "ci",
            "providers": dict.fromkeys(providers, no_key),
            "mock_mode": False,
            "mock_mode_name": None,
            "mock_provider": {"allowed": True, "registered": True, "seed": 42},
        }

    in_lab(script, environment="ci")


def test_under_use_mock_llm_a_provider_is_configured_when_it_has_a_key():
    async def script(lab):
        told = (await lab.client.get("/healthz")).json()
        configured = {name: provider["configured"] for name, provider in told["providers"].items()}
        assert configured == {"anthropic": False, "openai": True, "google": False, "openrouter": False}
        assert (told["mock_mode"], told["mock_mode_name"]) == (True, "cj_generic_batch")
        assert told["mock_provider"] == {"allowed": False, "registered": True, "seed": 7}

    settings = {"use_mock_llm": True, "allow_mock_provider": False, "mock_provider_seed": 7}
    in_lab(script, load_mode("cj_generic_batch"), **settings, openai_api_key=KEYS[Provider.OPENAI])


def test_the_default_mode_is_a_mock_too():
    async def script(lab):
        told = (await lab.client.get("/healthz")).json()
        assert (told["mock_mode"], told["mock_mode_name"]) == (True, None)

    in_lab(script, use_mock_llm=True)


def test_a_real_provider_alone_is_healthy_and_the_mock_is_told_to_be_off():
    async def script(lab):
        response = await lab.client.get("/healthz")
        assert response.status_code == 200
        told = response.json()
        assert told["providers"]["openai"] == {"enabled": True, "configured": True}
        assert told["mock_provider"] == {"allowed": False, "registered": False, "seed": 42}

    in_lab(script, allow_mock_provider=False, openai_api_key=KEYS[Provider.OPENAI])


def test_a_service_without_any_provider_is_not_healthy():
    async def script(lab):
        response = await lab.client.get("/healthz")
        assert response.status_code == 503
        assert response.json()["status"] == "unhealthy"
        assert "ALLOW_MOCK_PROVIDER" in response.json()["message"]

    in_lab(script, allow_mock_provider=False)


def test_a_service_is_healthy_while_it_runs_and_neither_before_nor_after():
    async def main():
        service = LlmProviderService(LpsSettings(), load_mode("default"), MemoryBus(), LoopClock(ORIGIN))
        transport = httpx.ASGITransport(build_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://lps") as client:

            async def told():
                response = await client.get("/healthz")
                return response.status_code, response.json()["checks"]["service_responsive"]

            assert await told() == (503, False)
            async with service:
                assert await told() == (200, True)
            assert await told() == (503, False)

    asyncio.run(main())


def test_a_draining_service_takes_nothing_and_says_so():
    async def script(lab):
        await lab.service.drain(1.0)
        assert (await lab.client.get("/healthz")).status_code == 503
        refused = await lab.post()
        assert (refused.status_code, refused.json()["error"]) == (503, "Service is not running")

    in_lab(script)


def test_a_queue_whose_store_is_away_is_a_503_everywhere(monkeypatch):
    async def script(lab):
        async def away(*_):
            raise QueueUnavailable

        for method in ("put", "lookup", "depth"):
            monkeypatch.setattr(lab.service.queue, method, away)
        health = await lab.client.get("/healthz")
        assert health.status_code == 503
        assert health.json()["checks"] == {"service_responsive": True, "dependencies_available": False}
        assert health.json()["message"] == "The queue's store cannot be reached."
        queue_id = "0da79c13-b494-8759-891a-adeb38cb4beb"
        for response in (
            await lab.post(),
            await lab.client.get(f"/api/v1/status/{queue_id}"),
            await lab.client.get(f"/api/v1/results/{queue_id}"),
        ):
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "5"
            assert response.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
        metrics = await lab.client.get("/metrics")
        assert metrics.status_code == 200
        assert "llm_provider_queue_depth{" not in metrics.text

    in_lab(script)


def test_a_topic_that_the_bus_does_not_take_is_a_warning_that_does_not_name_it():
    class Broken(MemoryBus):
        async def publish_all(self, messages):
            return [ConnectionError()] * len(messages)

    async def main():
        async with lab(bus=Broken(), publish_llm_usage_events=False) as the_lab:
            await the_lab.post()
            await asyncio.sleep(0.1)
            response = await the_lab.client.get("/healthz")
            assert response.status_code == 200  # it is the callback that waits; the next topic may be fine
            told = response.json()
            assert told["dependencies"]["bus"] == {"status": "failing"}
            assert told["warnings"] == ["Callbacks wait for 1 topic(s) that the bus does not take."]

    asyncio.run(main())
