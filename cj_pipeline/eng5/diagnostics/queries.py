"""This module holds the Prometheus queries that tell afterwards, on a deployed stack, how a batch was worked off."""

from __future__ import annotations

from collections.abc import Mapping

from cj_pipeline.contracts.enums import LLMBatchingMode

_CJ = (
    "sum by (batching_mode) (increase(cj_llm_requests_total[{window}]))",
    "sum by (batching_mode) (increase(cj_llm_batches_started_total[{window}]))",
)
_LPS = (
    "sum by (result) (increase(llm_provider_queue_wait_time_seconds_count[{window}]))",
    "sum by (queue_processing_mode) (increase(llm_provider_comparison_callbacks_total[{window}]))",
)
_BUNDLES = (
    "sum by (provider, model) (increase(llm_provider_serial_bundle_calls_total[{window}]))",
    "histogram_quantile(0.5, sum by (le) (increase(llm_provider_serial_bundle_items_per_call_bucket[{window}])))",
)
_JOBS = (
    "sum by (provider, model, status) (increase(llm_provider_batch_api_jobs_total[{window}]))",
    "histogram_quantile(0.5, sum by (le) (increase(llm_provider_batch_api_items_per_job_bucket[{window}])))",
    "histogram_quantile(0.95, sum by (le) (increase(llm_provider_batch_api_job_duration_seconds_bucket[{window}])))",
)

_OF_MODE: Mapping[LLMBatchingMode | None, tuple[str, ...]] = {
    None: _BUNDLES,
    LLMBatchingMode.PER_REQUEST: _BUNDLES,  # must not move
    LLMBatchingMode.SERIAL_BUNDLE: _BUNDLES,
    LLMBatchingMode.PROVIDER_BATCH_API: _JOBS,
}


def queries(mode: LLMBatchingMode | None = None, *, window: str = "1h") -> tuple[str, ...]:
    """Return queries in PromQL for a run under a batching mode. window: a PromQL duration that reaches back to it."""
    return tuple(query.format(window=window) for query in (*_CJ, *_OF_MODE[mode], *_LPS))
