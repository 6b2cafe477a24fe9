"""This module reads what the LPS in this process counted while it was asked: callbacks, bundles, jobs, waits."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from cj_pipeline.runs.service_metrics import parse_metrics

SERIES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "callbacks": ("llm_provider_comparison_callbacks_total", {}),
    "bundles": ("llm_provider_serial_bundle_calls_total", {}),
    "bundled_comparisons": ("llm_provider_serial_bundle_items_per_call_sum", {}),
    "jobs": ("llm_provider_batch_api_jobs_total", {"status": "completed"}),
    "waits": ("llm_provider_queue_wait_time_seconds_count", {}),
    "waited_s": ("llm_provider_queue_wait_time_seconds_sum", {}),
}
"""By the name that a run reports: the series, and the labels that its samples must have."""


async def counted(client: httpx.AsyncClient, before: Mapping[str, float]) -> dict[str, float]:
    """Return what a service has counted since it was started, added to what earlier sessions of a run counted."""
    samples = parse_metrics((await client.get("/metrics")).text)
    return {
        name: before.get(name, 0.0)
        + sum(one.value for one in samples if one.name == series and labels.items() <= one.labels.items())
        for name, (series, labels) in SERIES.items()
    }
