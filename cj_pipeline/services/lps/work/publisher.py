"""This module publishes the callbacks of the outbox on the bus.

A callback is taken from the outbox only once the bus has confirmed it. A topic that cannot be published to is set aside
and tried again by itself, so that one client's mistyped topic holds nobody else's callbacks back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from cj_pipeline.bus.protocol import Bus, Outgoing
from cj_pipeline.foundation.retrying import Waits, backoff_s
from cj_pipeline.services.lps.metrics import LpsMetrics
from cj_pipeline.services.lps.queue.queue import Answer, RequestQueue

_log = logging.getLogger(__name__)

_WAITS = Waits(first_s=0.5, most_s=30.0)


class Publisher:
    """Publishes what the queue's outbox holds, in its order for each topic."""

    def __init__(self, queue: RequestQueue, bus: Bus, metrics: LpsMetrics) -> None:
        self._queue = queue
        self._bus = bus
        self._metrics = metrics
        self._set_aside: dict[str, list[Answer]] = {}
        self._retries: set[asyncio.Task[None]] = set()
        self._publishing = 0

    @property
    def failing_topics(self) -> tuple[str, ...]:
        """Topics that the bus did not take a callback for, and has not since; sorted."""
        return tuple(sorted(self._set_aside))

    @property
    def busy(self) -> bool:
        """Whether callbacks that were taken from the outbox are not on the bus yet."""
        return self._publishing > 0 or bool(self._set_aside)

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            while True:
                ready = []
                for answer in await self._queue.outgoing():
                    waiting = self._set_aside.get(answer.topic)
                    if waiting is None:
                        ready.append(answer)
                    else:
                        waiting.append(answer)
                for topic, failed in (await self._publish(ready)).items():
                    self._start_retrying(topic, failed)
        finally:
            for task in self._retries:
                task.cancel()

    async def _publish(self, answers: Sequence[Answer]) -> dict[str, list[Answer]]:
        """Publish; what the bus did not take, by topic, in order."""
        if not answers:
            return {}
        self._publishing += 1
        try:
            return await self._publish_all(answers)
        finally:
            self._publishing -= 1

    async def _publish_all(self, answers: Sequence[Answer]) -> dict[str, list[Answer]]:
        results = await self._bus.publish_all([Outgoing(answer.topic, answer.key, answer.value) for answer in answers])
        taken: list[Answer] = []
        failed: dict[str, list[Answer]] = {}
        for answer, result in zip(answers, results, strict=True):
            if result is None:
                taken.append(answer)
            else:
                failed.setdefault(answer.topic, []).append(answer)
                self._metrics.publish_failed()
                if len(failed[answer.topic]) == 1:
                    _log.error("callbacks cannot be published to '%s': %s", answer.topic, type(result).__name__)
        await self._queue.published(taken)
        for answer in taken:
            self._metrics.called_back(answer.result)
        return failed

    def _start_retrying(self, topic: str, failed: list[Answer]) -> None:
        self._set_aside[topic] = failed
        task = asyncio.create_task(self._retry(topic), name="lps-publish-retry")
        self._retries.add(task)
        task.add_done_callback(self._retries.discard)

    async def _retry(self, topic: str) -> None:
        failures = 1
        while self._set_aside[topic]:
            await asyncio.sleep(backoff_s(failures, _WAITS))
            # New ones may join the line while these are under way; they stay behind them.
            trying = self._set_aside[topic]
            self._set_aside[topic] = []
            failed = (await self._publish(trying)).get(topic, [])
            failures = 1 if len(failed) < len(trying) else failures + 1
            self._set_aside[topic] = failed + self._set_aside[topic]
        del self._set_aside[topic]
