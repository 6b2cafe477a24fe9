"""This module records a judge through a deployed CJ service: a batch for each run, captured into one trace.

The service chooses the pairs and the words of its prompt, and its LPS has the keys.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from cj_pipeline.bus.factory import create_bus
from cj_pipeline.bus.kafka.bus import KafkaBus
from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.bus.protocol import Bus, Subscription
from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.contracts.els_request import (
    ASSESSMENT_REQUEST_TOPIC,
    AssessmentOverrides,
    AssessmentRequestEvent,
    AssessmentRequestV1,
    EssayReference,
)
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.foundation.stored_formats import BATCH_NOTES
from cj_pipeline.foundation.versions import marked, read_marked
from cj_pipeline.local.content import CONTENT_PATH
from cj_pipeline.local.drive import SOURCE_SERVICE
from cj_pipeline.runs.cj_service import END_TOPICS, CjAnswer, NotFinished, end_of_batch, store_texts
from cj_pipeline.runs.recording.adding import refit
from cj_pipeline.runs.recording.deployed import require_real
from cj_pipeline.runs.recording.draft import draft_folder
from cj_pipeline.runs.recording.request import RecordingRequest
from cj_pipeline.runs.remote import PATIENCE_S, Deployment, DistinctMessages, ServiceUnreachable, fresh_label
from cj_pipeline.traces.capture.capture import capture
from cj_pipeline.traces.capture.request import CaptureRequest
from cj_pipeline.traces.draft import disk_errors_in_words
from cj_pipeline.traces.further_recording import copy_recording, place_for_recording
from cj_pipeline.traces.message_filter import Selection
from cj_pipeline.traces.store import RECORDINGS_FOLDER, trace_recordings
from cj_pipeline.warehouse.files import replace_whole

_OWNER = "cj-pipeline-record"
_NOTES = "batches.json"

OnCallback = Callable[[int, CallbackEvent], None]
"""Called with the number of the run and each of its callbacks."""


class BatchFailed(CjPipelineError):
    """A batch that the CJ service gave up."""


@dataclass(frozen=True, slots=True)
class CjDeployment:
    """Where a CJ service and what it needs are. lps_url: asked whether a mock answers there; None: nobody is asked.

    callback_topic: on which its LPS answers. timeout_s: seconds that one batch may take. notice: called with a sentence
    about what could not be made sure of.
    """

    cj_url: str
    content_url: str
    lps_url: str | None
    kafka: KafkaSettings
    callback_topic: str = COMPARISON_RESULT_TOPIC
    timeout_s: float = 86_400.0
    notice: Callable[[str], None] = lambda _: None


def record_batches(
    request: RecordingRequest, cj: CjDeployment, *, on_callback: OnCallback = lambda _run, _event: None
) -> Path:
    """Record a judge through a CJ service into the folder `request.target`, whole or not at all, and return it.

    Interrupted, it goes on with the same request: a batch that was asked for is waited for, and one that is captured
    is not asked for again. Raises BadInput: a target in the way, a draft of another request, answers of a mock;
    ServiceUnreachable, NotFinished, BatchFailed, and what capture raises.
    """
    if request.target.exists():
        raise BadInput(
            "is there already.", path=request.target, remedy="Choose another scenario id, or move the folder away."
        )
    draft = _Draft(request)
    with disk_errors_in_words(draft.folder):
        for run in range(1, request.runs + 1):
            if not draft.trace(run).exists():
                _record_run(request, cj, draft, run, on_callback)
        return _published(request, draft)


class _Draft:
    """What is known of batches that were asked for: their label, and where the topics ended before they were."""

    def __init__(self, request: RecordingRequest) -> None:
        self.folder = draft_folder(request.target)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._scenario_id = request.scenario_id
        self._path = self.folder / _NOTES
        identity = sha256(json.dumps(request.identity(), sort_keys=True).encode()).hexdigest()
        if any(self.folder.glob("run_*.sqlite")):
            raise _of_another(self.folder)
        self._notes: dict[str, Any] = {"identity": identity, "label": fresh_label(), "runs": {}}
        if self._path.exists():
            try:
                self._notes = read_marked(BATCH_NOTES, self._path.read_bytes(), self._path)
            except ValueError:
                raise BadInput(
                    "does not say what was asked for.", path=self._path, remedy="Begin again with --restart."
                ) from None
            if self._notes["identity"] != identity:
                raise _of_another(self.folder)
        else:
            self._write()

    def trace(self, run: int) -> Path:
        """Return where the captured trace of a run is, or will be."""
        return self.folder / f"run_{run}" / self._scenario_id

    def bos_batch_id(self, run: int) -> str:
        """Return the batch id of a run; another one after each failure."""
        failed = self._notes["runs"].get(str(run), {}).get("failed", 0)
        return f"record-{self._scenario_id}-{self._notes['label']}-{run}" + (f"-{failed}" if failed else "")

    def began_at(self, run: int) -> dict[str, dict[int, int]] | None:
        """Return where each topic ended before the batch was asked for; None where it was not."""
        ends = self._notes["runs"].get(str(run), {}).get("ends")
        if ends is None:
            return None
        return {topic: {int(part): offset for part, offset in found.items()} for topic, found in ends.items()}

    def is_asked(self, run: int) -> bool:
        """Return whether the batch of a run was asked for."""
        return bool(self._notes["runs"].get(str(run), {}).get("asked"))

    def note(self, run: int, **values: object) -> None:
        """Keep what is known of the batch of a run."""
        self._notes["runs"].setdefault(str(run), {}).update(values)
        self._write()

    def note_failure(self, run: int) -> None:
        """Keep that the batch failed, so that the next try is a batch of its own."""
        self._notes["runs"][str(run)] = {"failed": self._notes["runs"].get(str(run), {}).get("failed", 0) + 1}
        self._write()

    def _write(self) -> None:
        replace_whole(self._path, self._write_to)

    def _write_to(self, path: Path) -> None:
        path.write_text(json.dumps(marked(BATCH_NOTES, self._notes)))


def _of_another(folder: Path) -> BadInput:
    return BadInput(
        "is not what the unfinished recording was begun with.",
        path=folder,
        remedy="Go on with the same options, or forget what was answered with --restart.",
    )


def _record_run(request: RecordingRequest, cj: CjDeployment, draft: _Draft, run: int, on_callback: OnCallback) -> None:
    """Ask for the batch of one run, wait for its end, and capture it."""
    batch = draft.bos_batch_id(run)
    answer = asyncio.run(_asked(request, cj, draft, run, on_callback))
    if answer.failure is not None:
        draft.note_failure(run)
        raise BatchFailed(
            f"the CJ service gave the batch {batch} up: {answer.failure}. Its log says more. The same command asks for "
            "it once more."
        )
    # A capture that was killed in its middle begins again: the batch is over, and its callbacks stay on the topic.
    shutil.rmtree(draft.trace(run).parent, ignore_errors=True)
    draft.trace(run).parent.mkdir(parents=True)
    captured = capture(
        CaptureRequest(
            scenario_id=request.scenario_id,
            traces_dir=draft.trace(run).parent,
            selection=Selection(bos_batch_id=batch),
            redaction=request.redaction,
            topic=cj.callback_topic,
            choices=request.choices,
        ),
        cj.kafka,
    )
    if captured.partial:
        shutil.rmtree(draft.trace(run).parent)
        raise NotFinished(
            f"{batch}: the capture is partial: {'; '.join(captured.missing)}. Go on with the same command."
        )


async def _asked(
    request: RecordingRequest, cj: CjDeployment, draft: _Draft, run: int, on_callback: OnCallback
) -> CjAnswer:
    batch = draft.bos_batch_id(run)
    async with _bus(cj) as bus:
        topics = (*END_TOPICS, cj.callback_topic)
        if not draft.is_asked(run):
            storage_ids = await store_texts(f"{cj.content_url}{CONTENT_PATH}", request.essays.texts)
            message = _assessment_request(request, batch, storage_ids).model_dump_json(exclude_none=True).encode()
            # Of an earlier session that died here: the batch may be under way already.
            ends = draft.began_at(run) or await _ends(bus, topics)
            draft.note(run, ends=ends)
            await bus.publish(ASSESSMENT_REQUEST_TOPIC, message, key=batch.encode())
            draft.note(run, asked=True)
        ends = draft.began_at(run) or {}
        readers = {topic: DistinctMessages(bus.subscribe(topic, ends[topic])) for topic in topics}
        counting = asyncio.create_task(_count(readers[cj.callback_topic], batch, lambda event: on_callback(run, event)))
        try:
            async with asyncio.timeout(cj.timeout_s):
                return await end_of_batch(batch, readers)
        except TimeoutError:
            raise NotFinished(
                f"{batch}: the CJ service published no end of it within {cj.timeout_s:g} s. Its log says more. "
                "The same command goes on waiting."
            ) from None
        finally:
            counting.cancel()
            await asyncio.wait([counting])


@asynccontextmanager
async def _bus(cj: CjDeployment) -> AsyncIterator[Bus]:
    """Yield the bus, once both services are known to be there and to ask a real judge."""
    async with httpx.AsyncClient(timeout=30.0) as client:
        try:
            (await client.get(f"{cj.cj_url}/healthz")).raise_for_status()
        except httpx.HTTPError as error:
            raise ServiceUnreachable(
                f"{cj.cj_url}: no CJ service answers there ({type(error).__name__}). It has its own address beside "
                "that of its LPS."
            ) from None
    if cj.lps_url is None:
        cj.notice("Nobody said where the LPS of that service is (--lps), so whether a mock answers there is not known.")
    else:
        deployment = Deployment(cj.lps_url, lambda: create_bus(None, None, Path()), notice=cj.notice)
        async with httpx.AsyncClient(base_url=cj.lps_url, timeout=30.0) as client:
            await require_real(client, deployment)
    bus = KafkaBus(cj.kafka)
    try:
        yield bus
    finally:
        await bus.aclose()


async def _ends(bus: Bus, topics: Sequence[str]) -> dict[str, Mapping[int, int]]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return {topic: await bus.end(topic) for topic in topics}
    except TimeoutError:
        raise ServiceUnreachable(
            f"{bus} does not answer within {PATIENCE_S:g} s. Name the brokers that the CJ service uses: --kafka."
        ) from None


def _assessment_request(
    request: RecordingRequest, batch: str, storage_ids: Mapping[str, str]
) -> AssessmentRequestEvent:
    """Return the event that asks for a batch of these essays by this judge."""
    overrides = request.overrides().model_dump(exclude_none=True)
    return AssessmentRequestEvent(
        event_id=keyed_uuid("recorded-batch", batch),
        event_type=ASSESSMENT_REQUEST_TOPIC,
        event_timestamp=utc_now(),
        source_service=SOURCE_SERVICE,
        correlation_id=keyed_uuid("recorded-batch-correlation", batch),
        data=AssessmentRequestV1(
            entity_id=batch,
            essays_for_cj=tuple(
                EssayReference(essay_id=essay, text_storage_id=storage_ids[essay]) for essay in request.essays.texts
            ),
            language="en",
            course_code="ENG5",
            user_id=_OWNER,
            llm_config_overrides=AssessmentOverrides(**overrides),
        ),
        metadata={"max_comparisons": request.comparisons_a_run},
    )


async def _count(reader: Subscription, batch: str, on_callback: Callable[[CallbackEvent], None]) -> None:
    """Tell of each callback of the batch, for as long as nobody cancels it; the topic may be shared."""
    while True:
        event = parse_callback((await reader.next()).value)
        if not isinstance(event, Rejection) and event.data.request_metadata.get("bos_batch_id") == batch:
            on_callback(event)


def _published(request: RecordingRequest, draft: _Draft) -> Path:
    """Make one trace of the captured runs, fit its mode to all of them, and give it its place."""
    first = draft.trace(1)
    for run in range(2, request.runs + 1):
        name = f"run_{run}"
        if not (first / RECORDINGS_FOLDER / name).exists():
            _, before = trace_recordings(first)
            copy_recording(place_for_recording(first, name), draft.trace(run))
            refit(first, before)
    first.rename(request.target)
    shutil.rmtree(draft.folder, ignore_errors=True)
    return request.target
