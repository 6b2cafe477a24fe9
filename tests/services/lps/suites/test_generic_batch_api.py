"""The generic profile with a service in batch_api mode: jobs scheduled, completed, and on record."""

from __future__ import annotations

import pytest

from cj_pipeline.contracts.enums import QueueProcessingMode, Winner
from tests.services.lps.suites.profiles import (
    JOBS,
    Asked,
    Played,
    Suite,
    guardrail_outcomes,
    play,
    require_counts,
    require_guardrails,
    require_latency,
    require_tokens,
    share,
    summary_of,
)
from tests.services.lps.suites.targets import EMBEDDED, SERVED, Target
from tests.sides import GENERIC

SUITE = Suite(
    GENERIC,
    "cj_generic_batch",
    "test.llm.mock_parity.generic.batch_api.v1",
    budget_s=30,
    hint=None,
    model="gpt-5.1",
)
ASKED = [Asked("essay-a-generic", "essay-b-generic")] * 16


def play_jobs(target: Target, **settings: object) -> Played:
    batches = {"bos-cj-generic-mock-batch-api-5ba1a7c4": ASKED}
    return play(target, SUITE, batches, **{"queue_processing_mode": "batch_api", **settings})


@pytest.mark.parametrize("target", [EMBEDDED, SERVED], ids=lambda target: target.name)
def test_sixteen_comparisons_come_back_from_jobs(target: Target) -> None:
    played = play_jobs(target)
    live = summary_of(played.events)
    require_counts(live, 16)
    assert share(live, Winner.A) == 1.0
    require_tokens(live, SUITE)
    require_latency(live, SUITE.recorded)
    for event in played.events:
        metadata = event.data.request_metadata
        assert (metadata["queue_processing_mode"], metadata["resolved_model"]) == ("batch_api", "gpt-5.1")
        assert "cj_llm_batching_mode" not in metadata  # the hint was not sent, and the service invents none
    require_guardrails(played, QueueProcessingMode.BATCH_API)


def test_an_opportunistic_service_answers_all_of_them_in_one_job() -> None:
    played = play_jobs(EMBEDDED, batch_api_mode="opportunistic")
    require_guardrails(played, QueueProcessingMode.BATCH_API)
    labels = 'model="gpt-5.1",provider="mock"'
    assert f'llm_provider_batch_api_jobs_total{{{labels},status="completed"}} 1.0' in played.metrics
    assert f"llm_provider_batch_api_items_per_job_sum{{{labels}}} 16.0" in played.metrics


def test_a_service_in_another_mode_fails_every_rule_on_jobs() -> None:
    played = play_jobs(EMBEDDED, queue_processing_mode="serial_bundle")
    outcomes = guardrail_outcomes(played, QueueProcessingMode.BATCH_API)
    assert {name for name in JOBS if not outcomes[name].passed} == set(JOBS)
