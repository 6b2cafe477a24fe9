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
    from collections.abc import Mapping, Sequence

    from cj_pipeline.traces.reconstruct.judgements import Judgement
    from cj_pipeline.traces.reconstruct.published import Facts, Published
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


def events(scenario: Scenario, facts: Facts, seed: int) -> list[dict[str, Any]]:
    """Return every callback's envelope in the order of publication, JSON-ready, keys in production's order.

    Raises CannotReconstruct when the published facts contradict each other or the scenario.
    """
    published, key = facts.published, (scenario.scenario_id, seed)
    judged = judgements(scenario, facts, seed)
    answered = [index for index, judgement in enumerate(judged) if judgement.a_wins is not None]
    if (len(judged), len(answered)) != (published.counts.events, published.counts.answers):
        raise CannotReconstruct(f"{len(judged)} comparisons, {len(answered)} of them answered", field="counts")
    completion = completion_tokens(published, len(answered), *key)
    latency = dict(zip(answered, latencies(published, completion, *key), strict=True))
    times = _times(scenario, judged, latency, key)
    written = dict(zip(answered, completion, strict=True))
    return [
        _event(
            scenario,
            published,
            judgement,
            _answer(scenario, published, judgement, written[index], latency[index], (*key, index))
            if index in written
            else _failure(scenario, published, times[index][1], (*key, index)),
            times[index],
            (*key, index),
        )
        for index, judgement in enumerate(judged)
    ]


def _answer(
    scenario: Scenario,
    published: Published,
    judgement: Judgement,
    completion: int,
    took_ms: int,
    key: tuple[KeyPart, ...],
) -> dict[str, Any]:
    reasons = mock_reasons if scenario.provider.name is Provider.MOCK else model_reasons
    confidence, justification = reasons(judgement, *key)
    prompt = prompt_tokens(published, judgement)
    tokens = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {
        "winner": (Winner.A if judgement.a_wins else Winner.B).value,
        "justification": justification,
        "confidence": confidence if judgement.confidence is None else judgement.confidence,
        "error_detail": None,
        "provider": scenario.provider.name.value,
        "model": _model(scenario, published),
        "response_time_ms": took_ms,
        "token_usage": tokens,
        "cost_estimate": tokens["total_tokens"] / 1000 * DOLLARS_PER_1000_TOKENS[scenario.provider.name],
    }


def _failure(scenario: Scenario, published: Published, failed_at: datetime, key: tuple[KeyPart, ...]) -> dict[str, Any]:
    """Return the outcome of a failed call: production names no model, and neither time, tokens nor cost."""
    error = published.assumed.error
    if error is None:
        raise CannotReconstruct("needed where calls failed", field="assumed.error")
    return {
        "winner": None,
        "justification": None,
        "confidence": None,
        "error_detail": {
            "error_code": error.code.value,
            "message": error.message,
            "correlation_id": str(keyed_uuid(*key, "correlation")),
            "timestamp": _written(failed_at),
            "service": LPS_SOURCE_SERVICE,
            "operation": "process_comparison",
            "details": {"provider": scenario.provider.name.value, **error.details},
            "stack_trace": None,
            "trace_id": None,
            "span_id": None,
        },
        "provider": scenario.provider.name.value,
        "model": "unknown",
        "response_time_ms": 0,
        "token_usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        "cost_estimate": 0.0,
    }


def _event(
    scenario: Scenario,
    published: Published,
    judgement: Judgement,
    outcome: dict[str, Any],
    times: tuple[datetime, datetime],
    key: tuple[KeyPart, ...],
) -> dict[str, Any]:
    correlation_id = str(keyed_uuid(*key, "correlation"))
    requested_at, completed_at = map(_written, times)
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
            **outcome,
            "requested_at": requested_at,
            "completed_at": completed_at,
            "trace_id": None,
            "request_metadata": _metadata(scenario, judgement, outcome["token_usage"]),
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
        # Production labelled every later wave `cj_retry`, which made retries uncountable.
        "cj_request_type": (CJRequestType.RETRY if judgement.retry else CJRequestType.COMPARISON).value,
        "reasoning_effort": provider.reasoning_effort,
        "output_verbosity": provider.output_verbosity,
    }
    if scenario.engine.enable_llm_batching_metadata_hints:
        sent["cj_llm_batching_mode"] = scenario.engine.llm_batching_mode.value
        sent["preferred_bundle_size"] = min(judgement.wave_size, 64)  # 64: the largest hint that the LPS heeds
        if scenario.engine.llm_batching_mode is not LLMBatchingMode.PER_REQUEST:
            sent["retry_iteration" if judgement.retry else "comparison_iteration"] = judgement.wave
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
    scenario: Scenario, judged: Sequence[Judgement], latency: Mapping[int, int], key: tuple[KeyPart, ...]
) -> list[tuple[datetime, datetime]]:
    """Return when each comparison was asked for and when its callback left, UTC. latency: ms, of answers by place.

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
            if index in latency:
                clock += timedelta(milliseconds=latency[index])
            clock += between(3, 9, "call", index)
        for asked, index in zip(requested, indices, strict=True):
            clock += between(1, 4, "publish", index)
            times.append((asked, clock))
        clock += between(300, 900, "continuation", wave)
    return times


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_line(event: dict[str, Any]) -> bytes:
    """Return one line of llm_callbacks.jsonl, without its newline; non-ASCII kept as it is."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
