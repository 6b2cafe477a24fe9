"""This module puts judgements and numbers together: callbacks as production's LPS puts them on the wire.

Where a field's value comes from is for origins.py to say, for every field written here.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias

from cj_pipeline.contracts.enums import CJRequestType, LLMBatchingMode, Provider, Winner
from cj_pipeline.contracts.topics import COMPARISON_RESULT_EVENT_TYPE, LPS_SOURCE_SERVICE
from cj_pipeline.foundation.seeding import KeyPart, keyed_uuid, uniform
from cj_pipeline.traces.reconstruct.judgements import judgements
from cj_pipeline.traces.reconstruct.measurements import completion_tokens, latencies, prompt_tokens
from cj_pipeline.traces.reconstruct.published import CannotReconstruct
from cj_pipeline.traces.reconstruct.reasons import mock_reasons, model_reasons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cj_pipeline.traces.reconstruct.judgements import Judgement
    from cj_pipeline.traces.reconstruct.published import Published
    from cj_pipeline.traces.scenario import Scenario

MetadataValue: TypeAlias = str | int | dict[str, int]

# Production's flat estimate, US dollars per 1,000 tokens of either kind.
DOLLARS_PER_1000_TOKENS = {
    Provider.ANTHROPIC: 0.01,
    Provider.OPENAI: 0.015,
    Provider.GOOGLE: 0.005,
    Provider.OPENROUTER: 0.02,
    Provider.MOCK: 0.0,
}


def events(scenario: Scenario, published: Published, seed: int) -> list[dict[str, Any]]:
    """Return every callback's envelope in the order of publication, JSON-ready, keys in production's order.

    Raises CannotReconstruct when the published facts contradict each other or the scenario.
    """
    judged = judgements(scenario, published, seed)
    key = (scenario.scenario_id, seed)
    completion = completion_tokens(published, len(judged), *key)
    latency = latencies(published, completion, *key)
    times = _times(scenario, judged, latency, key)
    return [
        _event(scenario, published, judgement, answer, took_ms, when, (*key, index))
        for index, (judgement, answer, took_ms, when) in enumerate(zip(judged, completion, latency, times, strict=True))
    ]


def _event(
    scenario: Scenario,
    published: Published,
    judgement: Judgement,
    answer: int,
    took_ms: int,
    times: tuple[datetime, datetime],
    key: tuple[KeyPart, ...],
) -> dict[str, Any]:
    reasons = mock_reasons if scenario.provider.name is Provider.MOCK else model_reasons
    confidence, justification = reasons(judgement, *key)
    prompt = prompt_tokens(published, judgement)
    tokens = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    correlation_id = str(keyed_uuid(*key, "correlation"))
    requested_at, completed_at = (moment.isoformat(timespec="microseconds").replace("+00:00", "Z") for moment in times)
    return {
        "event_id": str(keyed_uuid(*key, "event")),
        "event_type": COMPARISON_RESULT_EVENT_TYPE,
        "event_timestamp": completed_at,
        "source_service": LPS_SOURCE_SERVICE,
        "schema_version": 1,
        "correlation_id": correlation_id,
        "data_schema_uri": None,
        "data": {
            "request_id": str(keyed_uuid(*key, "request")),
            "correlation_id": correlation_id,
            "winner": (Winner.A if judgement.a_wins else Winner.B).value,
            "justification": justification,
            "confidence": confidence,
            "error_detail": None,
            "provider": scenario.provider.name.value,
            "model": _model(scenario, published),
            "response_time_ms": took_ms,
            "token_usage": tokens,
            "cost_estimate": tokens["total_tokens"] / 1000 * DOLLARS_PER_1000_TOKENS[scenario.provider.name],
            "requested_at": requested_at,
            "completed_at": completed_at,
            "trace_id": None,
            "request_metadata": _metadata(scenario, judgement, tokens),
        },
        "metadata": None,
    }


def _metadata(scenario: Scenario, judgement: Judgement, tokens: dict[str, int]) -> dict[str, MetadataValue]:
    """Return what the CJ engine sends along, echoed, and what the LPS adds to it."""
    provider = scenario.provider
    pair = (judgement.shown_a.id, judgement.shown_b.id)
    sent: dict[str, MetadataValue | None] = {
        "essay_a_id": pair[0],
        "essay_b_id": pair[1],
        "bos_batch_id": scenario.batch.bos_batch_id,
        "cj_batch_id": str(scenario.batch.cj_batch_id),
        "cj_source": "els",
        # Production labelled every later wave `cj_retry`, which made retries uncountable; nothing was retried here.
        "cj_request_type": CJRequestType.COMPARISON.value,
        "reasoning_effort": provider.reasoning_effort,
        "output_verbosity": provider.output_verbosity,
    }
    if scenario.engine.enable_llm_batching_metadata_hints:
        sent["cj_llm_batching_mode"] = scenario.engine.llm_batching_mode.value
        sent["preferred_bundle_size"] = min(judgement.wave_size, 64)  # 64: the largest hint that the LPS heeds
        if scenario.engine.llm_batching_mode is not LLMBatchingMode.PER_REQUEST:
            sent["comparison_iteration"] = judgement.wave
    added: dict[str, MetadataValue | None] = {
        "resolved_provider": provider.name.value,
        "queue_processing_mode": scenario.service.queue_processing_mode.value,
        "resolved_model": provider.model,
        # The same prompt has the same hash, whichever event it is in.
        "prompt_sha256": sha256("\n".join(("prompt", scenario.scenario_id, *pair)).encode()).hexdigest(),
    }
    if provider.name is Provider.MOCK:
        # Production's mock reports a cache that never hits, and repeats the figures inside `usage`.
        cache = {"cache_read_input_tokens": 0, "cache_creation_input_tokens": tokens["prompt_tokens"]}
        added |= {"usage": {**tokens, **cache}, **cache}
    return {name: value for name, value in (sent | added).items() if value is not None}


def _model(scenario: Scenario, published: Published) -> str:
    model = scenario.provider.model or published.run.model
    if model is None:
        raise CannotReconstruct("needed when the scenario overrides no model", field="run.model")
    return model


def _times(
    scenario: Scenario, judged: Sequence[Judgement], latency: Sequence[int], key: tuple[KeyPart, ...]
) -> list[tuple[datetime, datetime]]:
    """Return when each comparison was asked for and when its callback left, UTC.

    One worker takes a wave as one bundle: it calls one by one, and no callback leaves before the last call is done.
    """

    def between(low_ms: float, high_ms: float, *purpose: KeyPart) -> timedelta:
        return timedelta(milliseconds=round(low_ms + (high_ms - low_ms) * uniform(*key, *purpose), 3))

    times: list[tuple[datetime, datetime]] = []
    clock = scenario.batch.started_at.astimezone(UTC)
    for wave in range(judged[-1].wave + 1):
        indices = [index for index, judgement in enumerate(judged) if judgement.wave == wave]
        requested: list[datetime] = []
        for index in indices:
            clock += between(2, 6, "request", index)
            requested.append(clock)
        clock += between(5, 500, "poll", wave)  # an idle worker looks into its queue every half second
        for index in indices:
            clock += timedelta(milliseconds=latency[index]) + between(3, 9, "call", index)
        for asked, index in zip(requested, indices, strict=True):
            clock += between(1, 4, "publish", index)
            times.append((asked, clock))
        clock += between(300, 900, "continuation", wave)
    return times


def to_line(event: dict[str, Any]) -> bytes:
    """Return one line of llm_callbacks.jsonl, without its newline; non-ASCII kept as it is."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
