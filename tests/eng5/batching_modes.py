"""This module runs one batch under each pair of modes of the CJ service and the LPS, and counts what came of it.

Here: the batch and its counts. Not here: assertions.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.contracts.cj_events import CJ_COMPLETED_TOPIC
from cj_pipeline.contracts.enums import LLMBatchingMode, QueueProcessingMode
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.runs.virtual_time import run_virtual
from tests.services.cj.lab import ORIGIN, request, world

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

ESSAYS, BUDGET = 12, 66
SETTINGS: Mapping[str, Any] = {
    "max_pairwise_comparisons": BUDGET,
    "min_comparisons_for_stability_check": BUDGET + 1,
    "enable_llm_batching_metadata_hints": True,
    "llm_batch_api_allowed_providers": (),
    "batch_timeout_hours": 30,
}


@dataclass(frozen=True)
class Worked:
    """A batch that is over, in simulated time. samples: of both services' /metrics, which counted nothing else.

    over_s: from the request to the end; wait_s: from a comparison's request to its callback, on average.
    """

    judged: int
    waves: int
    over_s: float
    wait_s: float
    samples: Samples

    def total(self, series: str, **labels: str) -> float:
        """The sum of a series over the samples that have these labels."""
        return sum(
            value
            for (name, found), value in self.samples.items()
            if name == series and labels.items() <= dict(found).items()
        )


def samples_of(exposition: str) -> Samples:
    """Every sample of an exposition, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


def worked(
    cj: LLMBatchingMode,
    queue: QueueProcessingMode,
    batch_api_mode: str = "disabled",
    *,
    essays: int = ESSAYS,
    mode: str = "cj_generic_batch",
    asked: int | None = None,
    cj_settings: Mapping[str, Any] | None = None,
    **lps: Any,
) -> Worked:
    """Run one batch, by default of 66 comparisons; an answer takes 0.2 s.

    asked: the cap that the request names; cj_settings: of the CJ service; lps: settings of the LPS.
    """

    async def script() -> Worked:
        given = {"queue_processing_mode": queue, "batch_api_mode": batch_api_mode, **lps}
        settings = {**SETTINGS, "llm_batching_mode": cj, **(cj_settings or {})}
        async with world(mode, lps=given, **settings) as w:
            await w.ask(request(essays, metadata=None if asked is None else {"max_comparisons": asked}))
            service = w.service()
            async with service:
                await w.next_event(CJ_COMPLETED_TOPIC, patience_s=48 * 3600.0)
                over_s = (w.clock.now() - ORIGIN).total_seconds()
                ours = samples_of(service.metrics.exposition({}).decode())
            async with httpx.AsyncClient(transport=w.lps._transport) as client:
                theirs = samples_of((await client.get("http://lps/metrics")).text)
            callbacks = [
                event
                for message in w.bus._logs[COMPARISON_RESULT_TOPIC]
                if isinstance(event := parse_callback(message.value), CallbackEvent)
            ]
            waits = [(event.event_timestamp - event.data.requested_at).total_seconds() for event in callbacks]
            found = Worked(
                sum(event.data.succeeded for event in callbacks), 0, over_s, fmean(waits), {**ours, **theirs}
            )
            return replace(found, waves=int(found.total("cj_llm_waves_started_total")))

    return run_virtual(script())


# What each pair is for, and what its comparisons cost, in words; the rest of the table is measured.
ROWS: tuple[tuple[LLMBatchingMode, QueueProcessingMode, str, str, str], ...] = (
    (LLMBatchingMode.PER_REQUEST, QueueProcessingMode.PER_REQUEST, "disabled", "rollback", "list price"),
    (LLMBatchingMode.SERIAL_BUNDLE, QueueProcessingMode.SERIAL_BUNDLE, "disabled", "rollout", "list price"),
    (LLMBatchingMode.PROVIDER_BATCH_API, QueueProcessingMode.BATCH_API, "opportunistic", "phase 2", "batch price"),
    (LLMBatchingMode.PROVIDER_BATCH_API, QueueProcessingMode.BATCH_API, "nightly", "phase 2, by night", "batch price"),
    (LLMBatchingMode.SERIAL_BUNDLE, QueueProcessingMode.PER_REQUEST, "disabled", "hints without effect", "list price"),
    (LLMBatchingMode.PER_REQUEST, QueueProcessingMode.SERIAL_BUNDLE, "disabled", "bundles nobody asked for",
     "list price"),
    (LLMBatchingMode.PROVIDER_BATCH_API, QueueProcessingMode.SERIAL_BUNDLE, "disabled",
     "one wave, and no batch price", "list price"),
    (LLMBatchingMode.SERIAL_BUNDLE, QueueProcessingMode.BATCH_API, "disabled", "a job for each wave", "batch price"),
)  # fmt: skip


def row_of(cj: LLMBatchingMode, queue: QueueProcessingMode, batch_api_mode: str, use: str, cost: str) -> str:
    """One row of the runbook's table."""
    one = worked(cj, queue, batch_api_mode)
    assert one.judged == BUDGET
    bundles = int(one.total("llm_provider_serial_bundle_calls_total"))
    jobs = int(one.total("llm_provider_batch_api_jobs_total", status="completed"))
    cells = (f"`{cj.value}`", f"`{queue.value}`", f"`{batch_api_mode}`", use, cost, one.waves, bundles, jobs,
             f"{one.wait_s:,.1f}", f"{one.over_s:,.0f}")  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.stdout.writelines(f"{row_of(*row)}\n" for row in ROWS)
