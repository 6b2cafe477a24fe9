"""This module asks a deployed LPS for the batches of a test, and waits for their callbacks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx

from cj_pipeline.bus.protocol import Subscription
from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.contracts.comparison import ComparisonRequest, LLMConfigOverrides, QueuedResponse
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.runs.record import Sample
from cj_pipeline.runs.remote import Deployed, counted_since, metrics_of
from cj_pipeline.suites.profiles import Pair, ProfileTest

Batch = tuple[CallbackEvent, ...]

_POST_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a test: callbacks in the order of asking, batch by batch, and what the service counted meanwhile.

    problem: why a batch is not whole, empty where all are; seconds: of all batches.
    """

    batches: tuple[Batch, ...]
    metrics: tuple[Sample, ...]
    seconds: float
    problem: str = ""


async def play(lps: Deployed, test: ProfileTest, label: str) -> Played:
    """Ask for every batch, one after the other, up to the first that is not whole.

    label: of this run, since a service answers a correlation id once.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    before = await metrics_of(lps.client)
    await lps.bus.prepare([test.topic])
    batches: list[Batch] = []
    problem = ""
    for bos_batch_id in test.batches:
        batch, problem = await _ask(lps, test, bos_batch_id, label)
        batches.append(batch)
        if problem:
            break
    seconds = loop.time() - began
    counted = await counted_since(lps.client, before, sum(map(len, batches)))
    return Played(tuple(batches), counted, seconds, problem)


async def _ask(lps: Deployed, test: ProfileTest, bos_batch_id: str, label: str) -> tuple[Batch, str]:
    callbacks = await lps.listen(test.topic)
    deadline = asyncio.get_running_loop().time() + test.budget_s
    queue_ids: list[str] = []
    for number, pair in enumerate(test.pairs):
        request = _request(test, pair, bos_batch_id, f"{label}-{number}")
        body = request.model_dump_json(exclude_none=True).encode()
        headers = {"Content-Type": "application/json"}
        answer = await lps.client.post("/api/v1/comparison", content=body, headers=headers, timeout=_POST_TIMEOUT_S)
        if answer.status_code != httpx.codes.ACCEPTED:
            return (), f"{bos_batch_id}: request {number + 1} got {answer.status_code} instead of 202"
        queue_ids.append(str(QueuedResponse.model_validate_json(answer.content).queue_id))
    arrived = await _arrived(callbacks, set(queue_ids), deadline)
    batch = tuple(arrived[queue_id] for queue_id in queue_ids if queue_id in arrived)
    missing = len(queue_ids) - len(batch)
    problem = f"{bos_batch_id}: {missing} of {len(queue_ids)} callbacks did not come within {test.budget_s:g} s"
    return batch, problem if missing else ""


async def _arrived(callbacks: Subscription, wanted: set[str], deadline: float) -> dict[str, CallbackEvent]:
    """Return the callbacks by request id, as far as they come in time; the topic may be shared."""
    arrived: dict[str, CallbackEvent] = {}
    try:
        async with asyncio.timeout_at(deadline):
            while arrived.keys() < wanted:
                event = parse_callback((await callbacks.next()).value)
                if not isinstance(event, Rejection) and event.data.request_id in wanted:
                    arrived.setdefault(event.data.request_id, event)
    except TimeoutError:
        pass
    return arrived


def _request(test: ProfileTest, pair: Pair, bos_batch_id: str, label: str) -> ComparisonRequest:
    metadata = {"essay_a_id": pair[0], "essay_b_id": pair[1], "bos_batch_id": bos_batch_id}
    if test.hint is not None:
        metadata["cj_llm_batching_mode"] = test.hint
    essays = [f"{essay}: {keyed_uuid('suite-essay', essay)}" for essay in pair]
    return ComparisonRequest(
        # By the pair and never by the batch: a mock that goes by the prompt must answer each batch alike.
        user_prompt=f"Compare two essays.\n\nEssay A: {essays[0]}\n\nEssay B: {essays[1]}",
        callback_topic=test.topic,
        correlation_id=keyed_uuid("suite", bos_batch_id, label),
        metadata=metadata,
        llm_config_overrides=LLMConfigOverrides(provider_override=Provider.MOCK, model_override=test.model),
    )
