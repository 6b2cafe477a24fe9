"""This module sets up the batch endpoints of one service: those of OpenAI and of Anthropic."""

from __future__ import annotations

from pathlib import Path

import httpx

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.retrying import Waits
from cj_pipeline.services.lps.providers.batches.anthropic import AnthropicBatches
from cj_pipeline.services.lps.providers.batches.http import BatchHttp
from cj_pipeline.services.lps.providers.batches.job import BatchApi
from cj_pipeline.services.lps.providers.batches.jobs import BatchEndpoint, ProviderBatches
from cj_pipeline.services.lps.providers.batches.openai import OpenAiBatches
from cj_pipeline.services.lps.providers.batches.store import JobStore
from cj_pipeline.services.lps.providers.endpoint import MODEL_PLACE
from cj_pipeline.services.lps.providers.http_provider import HttpProvider
from cj_pipeline.services.lps.providers.manifest import Manifest
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.registry import api_of
from cj_pipeline.services.lps.providers.settings import ProviderSettings

_FIRST_LOOK_S = 5.0
_VERSION = {"anthropic-version": "2023-06-01"}


def provider_batches(
    settings: ProviderSettings,
    manifest: Manifest,
    metrics: ProviderMetrics,
    clock: LoopClock,
    folder: Path,
    poll_s: float,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
) -> ProviderBatches:
    """Return the batch endpoints of the providers that have a key, or need none. The caller closes them.

    folder: where open jobs are kept; poll_s: between two looks at a job, once it is some minutes old. Raises BadInput
    for an address below which there can be no such endpoint.
    """
    if MODEL_PLACE in settings.openai_base_url:
        raise BadInput(
            "has no batch endpoint: it is the address of single deployments.",
            path="environment",
            field="LLM_PROVIDER_SERVICE_OPENAI_BASE_URL",
            remedy="Use the v1 address of Azure, or BATCH_API_ENDPOINT=service.",
        )
    waits = Waits(first_s=min(_FIRST_LOOK_S, poll_s), most_s=poll_s)
    endpoints: dict[Provider, BatchEndpoint] = {}
    opened: list[HttpProvider | BatchHttp] = []
    for name in (Provider.OPENAI, Provider.ANTHROPIC):
        api = api_of(settings, name)
        if api.endpoint.needs_a_key and not api.endpoint.has_a_key:
            continue
        http = BatchHttp(api.endpoint, _VERSION if name is Provider.ANTHROPIC else {}, transport=transport)
        provider = HttpProvider(api, manifest, metrics, settings, transport=transport)
        language: BatchApi = OpenAiBatches(http) if name is Provider.OPENAI else AnthropicBatches(http, waits)
        endpoints[name] = BatchEndpoint(language, provider, api.endpoint.base_url)
        opened += [http, provider]

    async def close() -> None:
        for one in opened:
            await one.aclose()

    return ProviderBatches(endpoints, JobStore(folder), clock, waits, close)
