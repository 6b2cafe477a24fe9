"""This module asks a provider behind an LPS to judge comparisons.

A recording answers in recorded_answers.py. The batch that asks is in batch_run.py, the stack behind it in stack.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import httpx

from cj_pipeline.bus.protocol import Message, Subscription
from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.contracts.comparison import LLMConfigOverrides, QueuedResponse
from cj_pipeline.engine.effects import SubmitWave
from cj_pipeline.engine.state import Batch
from cj_pipeline.engine.waves.requests import comparison_request
from cj_pipeline.foundation.errors import CjPipelineError


class Judge(Protocol):
    """Anything that answers comparisons."""

    def judge(self, batch: Batch, wave: SubmitWave) -> AsyncIterator[CallbackEvent]:
        """Answer one wave; callbacks in order of arrival, one for each comparison."""
        ...


class ServiceRefused(CjPipelineError):
    """The LPS did not accept a comparison, or answered with something that is no callback."""


class ProviderJudge:
    """An LPS as a judge: requests over HTTP, callbacks off a bus.

    It does not know whether the service is embedded or remote, mock or real, in real or in virtual time.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        subscription: Subscription,
        *,
        callback_topic: str,
        overrides: LLMConfigOverrides,
        texts: Mapping[str, str],
        budget_s: float,
    ) -> None:
        """Keep what every request needs.

        texts: essay text by id; budget_s: seconds on the loop's clock that a batch may take from its first wave.
        """
        self._client = client
        self._url = client.base_url.join("/api/v1/comparison")
        self._headers = httpx.Headers({"host": self._url.netloc.decode(), "content-type": "application/json"})
        self._subscription = subscription
        self._topic = callback_topic
        self._overrides = overrides
        self._texts = texts
        self._budget_s = budget_s
        self._deadlines: dict[str, float] = {}

    async def judge(self, batch: Batch, wave: SubmitWave) -> AsyncIterator[CallbackEvent]:
        """Post one wave and yield its callbacks as they arrive, until all are in or the batch's time is over.

        A missing callback is no error of the run: parity reports it.
        Raises ServiceRefused when the service does not take a comparison, or sends something that is no callback.
        """
        now = asyncio.get_running_loop().time()
        deadline = self._deadlines.setdefault(batch.bos_batch_id, now + self._budget_s)
        for comparison in wave.comparisons:
            request = comparison_request(
                comparison,
                batch=batch,
                wave_size=len(wave.comparisons),
                texts=self._texts,
                overrides=self._overrides,
                callback_topic=self._topic,
            )
            body = request.model_dump_json(exclude_none=True).encode()
            # Address and headers are made once: making them for each request took an eighth of a comparison's time.
            _accepted(await self._client.send(httpx.Request("POST", self._url, headers=self._headers, content=body)))
        waiting = {comparison.correlation_id for comparison in wave.comparisons}
        while waiting:
            try:
                async with asyncio.timeout_at(deadline):
                    message = await self._subscription.next()
            except TimeoutError:
                return
            event = _parsed(message, batch.bos_batch_id)
            if event is None or event.data.request_metadata.get("bos_batch_id") != batch.bos_batch_id:
                continue  # the topic may be shared
            # A repeat or an orphan goes to the engine as well: it is evidence, and the engine counts it.
            waiting.discard(event.data.correlation_id)
            yield event


def _parsed(message: Message, bos_batch_id: str) -> CallbackEvent | None:
    """Return the callback; None for a message that is none and does not name the batch, as on a shared topic."""
    event = parse_callback(message.value)
    if isinstance(event, Rejection):
        if json.dumps(bos_batch_id).encode() not in message.value:
            return None
        place = f"message {message.offset} on {message.topic}"
        raise ServiceRefused(f"{place} is no callback: {event.field}: {event.reason}")
    return event


def _accepted(response: httpx.Response) -> None:
    # Production's client accepts nothing but 202; a 200 would mean a verdict in the body, which no service sends.
    if response.status_code != httpx.codes.ACCEPTED:
        raise ServiceRefused(f"{response.request.url}: {response.status_code} {response.text[:300]}")
    QueuedResponse.model_validate_json(response.content)
