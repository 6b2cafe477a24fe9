"""This module connects the parts of the CJ service: consumers, submitter, relay, monitor, database and metrics.

A service runs while it is entered. It may be stopped at any moment, or killed: what it had begun is in the database,
and the next one, or another replica, goes on with it. It keeps time by its clock and its loop only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Self
from uuid import uuid4

import httpx
from sqlalchemy import func, select

from cj_pipeline.bus.protocol import Bus
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.services.cj.batch.lps_client import LpsClient
from cj_pipeline.services.cj.batch.monitor import Monitor
from cj_pipeline.services.cj.batch.prompts import Prompts
from cj_pipeline.services.cj.batch.steps import Steps
from cj_pipeline.services.cj.batch.stored_batch import StateCache
from cj_pipeline.services.cj.batch.submission import Submitter
from cj_pipeline.services.cj.intake.content import ContentSource, HttpContent
from cj_pipeline.services.cj.intake.preparation import Preparation
from cj_pipeline.services.cj.metrics import CjMetrics
from cj_pipeline.services.cj.results.finalizer import Finalizer
from cj_pipeline.services.cj.results.grading import Grader, calibrated_grades
from cj_pipeline.services.cj.results.outbox import OutboxRelay
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.cj.store.database import Database
from cj_pipeline.services.cj.store.tables import batch_states
from cj_pipeline.services.cj.topics.callback_handler import CallbackHandler
from cj_pipeline.services.cj.topics.consumer import Quarantine, TopicConsumer
from cj_pipeline.services.cj.topics.positions import Positions
from cj_pipeline.services.cj.topics.request_handler import RequestHandler

_log = logging.getLogger(__name__)


class CjAssessmentService:
    """One replica.

    client: for the LPS and the content service, owned by the caller. content: instead of the content service;
    grade: instead of the platform's own calibration.
    """

    def __init__(
        self,
        settings: CjSettings,
        bus: Bus,
        database: Database,
        clock: LoopClock,
        client: httpx.AsyncClient,
        *,
        content: ContentSource | None = None,
        grade: Grader = calibrated_grades,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.client = client
        self.metrics = CjMetrics()
        self.database = database
        database.watch(self.metrics.transaction_ended, self.metrics.database_failed)
        self.content: ContentSource = content or HttpContent(
            client, settings.content_service_url, settings.llm_request_timeout_seconds
        )
        self.replica = str(uuid4())
        cache = StateCache()
        prompts = Prompts(settings.llm_provider_callback_topic)
        self._submitter = Submitter(
            settings,
            database,
            clock,
            self.metrics,
            LpsClient(client, settings),
            prompts,
            cache,
            self.replica,
            self._on_end,
        )
        self._relay = OutboxRelay(database, bus, clock, settings)
        steps = Steps(
            settings,
            clock,
            self.metrics,
            Finalizer(settings, self.metrics, grade),
            prompts,
            cache,
            self.replica,
            self._submitter.send,
            self._relay.wake,
        )
        self._submitter.steps = steps
        self.monitor = Monitor(settings, database, clock, self.metrics, steps, cache, self._submitter, self._relay)
        quarantine = Quarantine(clock, self.metrics)
        positions = Positions(database, bus, settings.unread_topics_begin)
        self._requests = TopicConsumer(
            settings.cj_assessment_request_topic,
            bus,
            positions,
            quarantine,
            RequestHandler(
                settings, clock, self.metrics, quarantine, Preparation(database, self.content, self.metrics), steps
            ),
        )
        self._callbacks = TopicConsumer(
            settings.llm_provider_callback_topic,
            bus,
            positions,
            quarantine,
            CallbackHandler(clock, self.metrics, quarantine, steps, cache, set()),
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._entered = False
        self._ended: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        """Start. Raises OtherSchema, DatabaseAway."""
        if self._entered:
            raise RuntimeError("a service runs once; make a new one")
        self._entered = True
        await self.database.create_schema(self.clock)
        self._ended = asyncio.get_running_loop().create_future()
        self._tasks = [
            self._start(self._requests.run(), "cj-requests"),
            self._start(self._callbacks.run(), "cj-callbacks"),
            self._start(self._relay.run(), "cj-outbox"),
            self._start(self.monitor.run(), "cj-monitor"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop at once; nothing is lost."""
        if self._ended is not None and not self._ended.cancel():
            self._ended.exception()  # it is in the log
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._submitter.stop()

    @property
    def running(self) -> bool:
        """Whether everything that it consists of runs."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def wait(self) -> None:
        """Until a part of it has failed, whose error is raised."""
        if self._ended is not None:
            await asyncio.shield(self._ended)

    async def batches_by_state(self) -> dict[str, int]:
        """Return how many batches of the database are in which state."""
        async with self.database.transaction() as transaction:
            rows = await transaction.all(
                select(batch_states.c.state, func.count().label("batches")).group_by(batch_states.c.state)
            )
            active, _ = self.database.connections()
        self.metrics.connections(active, self.database.connections()[1])
        return {row.state: row.batches for row in rows}

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._on_end)
        return task

    def _on_end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        _log.critical("%s ended: %s", task.get_name(), type(error).__name__)
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(error)
