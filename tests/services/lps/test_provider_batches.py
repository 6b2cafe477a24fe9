"""A service whose jobs go to a provider's batch endpoint: one callback for each request, in the series of any job."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.settings import LpsSettings
from tests.services.lps.lab import ORIGIN, Lab, correlation_id, lab
from tests.services.lps.providers.batches.fake_batches import FAKES, FakeBatches, Judge, answered
from tests.services.lps.providers.batches.stand import BOTH, Network
from tests.services.lps.providers.fake_api import KEYS
from tests.services.lps.providers.fakes import FAKES as SINGLY
from tests.services.lps.providers.stand import MODELS

both = pytest.mark.parametrize("provider", BOTH)


class Networks(httpx.AsyncBaseTransport):
    """All providers behind one transport, by the host that is asked."""

    def __init__(self, batches: FakeBatches, provider: Provider) -> None:
        self._batches, self._provider = Network(batches, {}), provider
        self._google = SINGLY[Provider.GOOGLE]().transport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        to = self._google if "google" in request.url.host else self._batches
        return await to.handle_async_request(request)


def in_batches(
    provider: Provider,
    folder: Path,
    script: Any,
    judge: Judge = answered,
    takes: timedelta = timedelta(hours=6),
    **more: Any,
) -> Any:
    async def main() -> Any:
        fake = FAKES[provider](LoopClock(ORIGIN).now, judge, takes)
        settings: dict[str, Any] = {
            f"{provider.value}_api_key": KEYS[provider],
            "queue_processing_mode": "batch_api",
            "batch_api_endpoint": "provider",
            "batch_api_jobs_path": folder / "jobs",
            "batch_api_poll_seconds": 900.0,
            "google_api_key": KEYS[Provider.GOOGLE],
            **more,
        }
        async with lab(transport=Networks(fake, provider), **settings) as at:
            return await script(at, fake)

    return run_virtual(main())


async def posted(at: Lab, provider: Provider, numbers: range) -> None:
    for number in numbers:
        response = await at.post(number, provider_override=provider.value, model_override=MODELS[provider])
        assert response.status_code == 202


async def results(at: Lab, count: int) -> dict[int, Any]:
    """The next callbacks by number, however long they take."""
    numbers = {correlation_id(number): number for number in range(200)}
    found = {}
    while len(found) < count:
        try:
            result = await at.next_result()
        except TimeoutError:
            continue
        assert numbers[result.correlation_id] not in found
        found[numbers[result.correlation_id]] = result
    return found


@both
def test_each_request_gets_its_callback_in_the_series_of_any_job(provider: Provider, tmp_path: Path) -> None:
    async def script(at: Lab, fake: FakeBatches) -> tuple[Any, str]:
        await posted(at, provider, range(5))
        told = await results(at, 5)
        assert len(fake.submitted) == 5
        assert list((tmp_path / "jobs").glob("*")) == []
        return told, (await at.client.get("/metrics")).text

    told, metrics = in_batches(
        provider, tmp_path, script, batch_api_mode="opportunistic", serial_bundle_max_requests_per_call=5
    )
    for result in told.values():
        assert result.succeeded
        assert result.request_metadata["queue_processing_mode"] == "batch_api"
        assert result.cost_estimate > 0.0
        # Six hours, as far as the looks at it can tell.
        assert 6 * 3600 <= result.response_time_ms / 1000 <= 6 * 3600 + 900
    labels = f'model="{MODELS[provider]}",provider="{provider.value}"'
    assert f'batch_api_jobs_total{{{labels},status="completed"}} 1.0' in metrics
    assert f'batch_api_jobs_total{{{labels},status="scheduled"}} 1.0' in metrics
    assert f"batch_api_items_per_job_sum{{{labels}}} 5.0" in metrics
    assert f"batch_api_job_duration_seconds_count{{{labels}}} 1.0" in metrics


@both
def test_a_request_that_expired_there_is_in_a_later_job(provider: Provider, tmp_path: Path) -> None:
    names: dict[str, int] = {}

    def judge(name: str, before: int) -> str:
        names.setdefault(name, len(names))
        return "expired" if names[name] == 1 and not before else "answered"

    async def script(at: Lab, fake: FakeBatches) -> Any:
        await posted(at, provider, range(3))
        return await results(at, 3), len(fake.submitted)

    told, submitted = in_batches(provider, tmp_path, script, judge)
    assert all(result.succeeded for result in told.values())
    assert submitted == 4


def test_a_provider_without_a_batch_endpoint_is_asked_one_by_one(tmp_path: Path) -> None:
    async def script(at: Lab, fake: FakeBatches) -> Any:
        await posted(at, Provider.GOOGLE, range(3))
        return await results(at, 3), fake.submitted

    told, submitted = in_batches(Provider.OPENAI, tmp_path, script)
    assert all(result.succeeded for result in told.values())
    assert submitted == []


def test_a_job_may_be_larger_than_a_bundle(tmp_path: Path) -> None:
    async def script(at: Lab, fake: FakeBatches) -> int:
        await posted(at, Provider.OPENAI, range(150))
        await results(at, 150)
        return len(fake.jobs)

    settings = {"batch_api_mode": "opportunistic", "batch_api_max_requests_per_job": 150}
    assert in_batches(Provider.OPENAI, tmp_path, script, **settings) == 1


def test_a_request_may_wait_for_a_day_longer_than_its_time_to_live(tmp_path: Path) -> None:
    """Two jobs of 20 hours, one after the other: the second has not expired by the time its turn comes."""

    async def script(at: Lab, _: FakeBatches) -> Any:
        await posted(at, Provider.OPENAI, range(2))
        return await results(at, 2)

    told = in_batches(
        Provider.OPENAI, tmp_path, script, takes=timedelta(hours=20), serial_bundle_max_requests_per_call=1
    )
    assert all(result.succeeded for result in told.values())


@both
def test_a_service_that_is_stopped_leaves_its_job_to_the_next(provider: Provider, tmp_path: Path) -> None:
    """With the queue in memory: the client posts again, and gets the answer that was under way."""

    async def main() -> Any:
        fake = FAKES[provider](LoopClock(ORIGIN).now, answered, timedelta(hours=6))
        settings: dict[str, Any] = {
            f"{provider.value}_api_key": KEYS[provider],
            "queue_processing_mode": "batch_api",
            "batch_api_endpoint": "provider",
            "batch_api_jobs_path": tmp_path / "jobs",
            "batch_api_poll_seconds": 900.0,
        }
        async with lab(transport=Networks(fake, provider), **settings) as at:
            await posted(at, provider, range(4))
            await asyncio.sleep(3600.0)
        async with lab(transport=Networks(fake, provider), **settings) as at:
            await posted(at, provider, range(4))
            return await results(at, 4), len(fake.submitted)

    told, submitted = run_virtual(main())
    assert all(result.succeeded for result in told.values())
    assert submitted == 4


def test_the_folder_of_open_jobs_must_be_named() -> None:
    with pytest.raises(ValidationError, match="must name a folder where batch_api_endpoint is provider"):
        LpsSettings(batch_api_endpoint="provider")
    assert not LpsSettings(batch_api_endpoint="provider", batch_api_jobs_path="jobs").asks_batch_endpoints
