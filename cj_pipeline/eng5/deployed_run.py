"""This module runs `execute` and `anchor-align-test` in front of deployed services: upload, request, answers.

A run that was killed or timed out goes on: the batch is not asked for again, and its topics are read from where they
ended before it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event as Flag
from typing import Any

import httpx

from cj_pipeline.bus.protocol import Bus
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC, AssessmentRequestEvent
from cj_pipeline.eng5.artefact.files import write_artefact
from cj_pipeline.eng5.asking import STOPPED, TIMED_OUT, OnProgress, Progress, parsed
from cj_pipeline.eng5.batching import DEPLOYED
from cj_pipeline.eng5.cj_request import assessment_request
from cj_pipeline.eng5.collector import TOPICS, Collected, Collector
from cj_pipeline.eng5.db_extract import extract
from cj_pipeline.eng5.design import compared_essays
from cj_pipeline.eng5.draft import Draft, opened_draft
from cj_pipeline.eng5.facts import Answers, Asked
from cj_pipeline.eng5.logs import EventLog, event_log
from cj_pipeline.eng5.options import RunnerMode, RunnerOptions, refusal
from cj_pipeline.eng5.runner import (
    Note,
    Prepared,
    RunOutcome,
    facts_of,
    log_answers,
    log_beginning,
    log_end,
    prepare,
    reports_of,
)
from cj_pipeline.eng5.uploads import stored_texts
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.runs.remote import ServiceUnreachable
from cj_pipeline.services.cj.admin_client import CjAdmin

THROUGH = "deployed services"
NOT_AWAITED = "nobody waited for the answers (--await-completion)"
CANONICAL_NATIONAL = "canonical_national"
REACH_S = 60.0


class NotPublished(CjPipelineError):
    """A request that the bus did not take; the command exits with 1."""


class NothingToExtract(CjPipelineError):
    """An extraction was asked for, and no completion was seen; the command exits with 1."""


@dataclass(frozen=True, slots=True)
class DeployedServices:
    """The services of a run. database_url: of the CJ database, where a batch is extracted from it."""

    open_bus: Callable[[], Bus]
    content_url: str
    admin: CjAdmin
    database_url: str | None = None
    content_transport: httpx.AsyncBaseTransport | None = None


def run_deployed(
    options: RunnerOptions,
    services: DeployedServices,
    *,
    on_progress: OnProgress = lambda _: None,
    note: Note = lambda _: None,
    stop: Flag | None = None,
    restart: bool = False,
) -> RunOutcome:
    """Run one mode in front of deployed services, and return what was written.

    Raises what `prepare` raises; AdminRefused of the preflight; ServiceUnreachable, NotPublished, NotHydrated; and
    NothingToExtract once the artefact is there.
    """
    anchors, scale = (None, None)
    if options.mode is RunnerMode.EXECUTE:
        anchors, scale = require_assignment(options, services.admin)
    prepared = prepare(options, deployed=True, anchors=anchors)
    if scale is not None:
        prepared = replace(prepared, grade_scale=scale)
    for sentence in prepared.notes:
        note(sentence)
    essays, _ = compared_essays(options.mode, prepared.inventory)
    test = options.mode.anchors_only
    sent = {name: essay for name, essay in essays.items() if test or essay in prepared.inventory.students}
    asked = Asked(sent, frozenset(sent) if test else frozenset(), None, THROUGH, _judge(options))
    with opened_draft(
        options.output_dir, options.mode, _begun_with(prepared, sent, services), restart=restart
    ) as draft:
        return asyncio.run(_run(prepared, services, asked, draft, on_progress, note, stop or Flag()))


def require_assignment(options: RunnerOptions, admin: CjAdmin) -> tuple[int, str]:
    """Return how many anchors the CJ service has for the assignment, and its scale. Raises BadInput, AdminRefused."""
    if options.assignment_id is None:
        raise refusal("assignment_id", "is missing.", "A CJ service finds anchors and prompt by it.")
    assignment = str(options.assignment_id)
    instructions = admin.instructions(assignment)
    scale = str(instructions.get("grade_scale"))
    if options.expected_grade_scale not in (None, scale):
        raise refusal("expected_grade_scale", f"assignment {assignment} is graded on {scale}.", "Leave it out.")
    if not instructions.get("student_prompt_storage_id"):
        raise BadInput(
            "has no student prompt.",
            path=f"assignment {assignment}",
            field="student_prompt_storage_id",
            remedy="Upload one: cj-pipeline cj admin prompts set.",
        )
    if options.rubric is not None and instructions.get("context_origin") == CANONICAL_NATIONAL:
        raise refusal("rubric", f"assignment {assignment} has the national one, which stays.", "Leave it out.")
    return len(admin.anchors(assignment).get("anchors") or ()), scale


async def _run(
    prepared: Prepared,
    services: DeployedServices,
    asked: Asked,
    draft: Draft,
    on_progress: OnProgress,
    note: Note,
    stop: Flag,
) -> RunOutcome:
    options = prepared.options
    with event_log(options, draft.identity) as log:
        log_beginning(log, prepared)
        storage = await stored_texts(
            services.content_url,
            asked.texts,
            options.output_dir,
            force=options.force_reupload,
            transport=services.content_transport,
        )
        request = assessment_request(options, draft.identity, storage)
        bus = services.open_bus()
        try:
            answers, completed = await _asked(options, bus, request, draft, log, on_progress, note, stop)
        finally:
            await bus.aclose()
        log_answers(log, answers, options.timeout_s)
        post_run = {}
        if options.auto_extract and completed:
            folder = options.output_dir / "db_extract" / str(draft.identity.batch_uuid)
            post_run = {"eng5_db_extract": extract(services.database_url, str(draft.identity.batch_uuid), folder)}
        document = request.model_dump(mode="json", exclude_none=True)
        facts = facts_of(prepared, draft.identity, asked=asked, answers=answers, request=document, post_run=post_run)
        path = write_artefact(facts)
        reports = reports_of(facts, asked)
        log_end(log, path)
        if answers.partial is None:
            draft.discard()
    if options.auto_extract and not completed:
        raise NothingToExtract(f"{path} is written, but no completion was seen, so there is nothing to extract.")
    failed = bool(post_run) and post_run["eng5_db_extract"]["status"] != "succeeded"
    return RunOutcome(path, facts, answers, reports, exit_code=2 if failed else 0)


async def _asked(
    options: RunnerOptions,
    bus: Bus,
    request: AssessmentRequestEvent,
    draft: Draft,
    log: EventLog,
    on_progress: OnProgress,
    note: Note,
    stop: Flag,
) -> tuple[Answers, bool]:
    """Ask for the batch where that was not done, and return what came, and whether the batch is over."""
    kept = draft.answers
    collector = Collector(
        bus,
        request.data.entity_id,
        kept,
        lambda event: on_progress(Progress(kept.taken, options.max_comparisons, event, None)),
    )
    start = kept.noted("topic_ends")
    if start is None:
        try:
            async with asyncio.timeout(REACH_S):
                await bus.prepare(TOPICS)
                kept.note("topic_ends", await collector.ends())
        except TimeoutError:
            raise ServiceUnreachable(f"{bus} does not answer within {REACH_S:g} s. Is it --kafka-bootstrap?") from None
        start = kept.noted("topic_ends")
    if kept.noted("published"):
        note(f"batch {request.data.entity_id} was asked for before; collecting what came since")
        log.event("runner_resumed", answered=kept.taken)
    else:
        await _publish(bus, request, log)
        kept.note("published", True)
        note(f"batch {request.data.entity_id} ({options.batch_id}) is asked for")
    if not options.await_completion:
        return _answers(draft, Collected(), NOT_AWAITED, timed_out=True), False
    log.event("collector_started", timeout_seconds=options.timeout_s)
    offsets = {topic: {int(part): end for part, end in ends.items()} for topic, ends in start.items()}
    try:
        found = await collector.collect(offsets, options.timeout_s, stop, note)
    except CjPipelineError as error:
        log.event("collector_error", error=str(error))
        raise
    for _ in found.results:
        log.event("collector_result_applied")
    for _ in found.completions:
        log.event("collector_completion_applied")
    return _answers(draft, found, _partial(found), timed_out=found.timed_out), bool(found.completions)


async def _publish(bus: Bus, request: AssessmentRequestEvent, log: EventLog) -> None:
    message = request.model_dump_json(exclude_none=True).encode()
    try:
        async with asyncio.timeout(REACH_S):
            await bus.publish(ASSESSMENT_REQUEST_TOPIC, message, key=request.data.entity_id.encode())
    except Exception as error:  # what a bus raises depends on its kind
        log.event("runner_publish_failed", error=type(error).__name__)
        raise NotPublished(f"{bus} did not take the request ({type(error).__name__}).") from None
    log.event("runner_request_published", topic=ASSESSMENT_REQUEST_TOPIC, essays=len(request.data.essays_for_cj))


def _partial(found: Collected) -> str | None:
    if found.failure is not None:
        return f"the CJ service failed the batch: {found.failure}"
    if found.timed_out or found.stopped:
        return TIMED_OUT if found.timed_out else STOPPED
    return None if found.complete else "the batch is over, and its result did not come"


def _answers(draft: Draft, found: Collected, partial: str | None, *, timed_out: bool) -> Answers:
    raw = tuple(draft.answers.lines())
    return Answers(
        events=tuple(parsed(line) for line in raw),
        raw=raw,
        partial=partial,
        timed_out=timed_out,
        duplicates=found.duplicates,
        results=tuple(found.results),
        completions=tuple(found.completions),
        result=found.result,
    )


def _judge(options: RunnerOptions) -> dict[str, Any]:
    return {"kind": DEPLOYED, **options.overrides().model_dump(mode="json", exclude_none=True)}


def _begun_with(prepared: Prepared, sent: dict[str, Any], services: DeployedServices) -> dict[str, Any]:
    """Return what must be the same for another session to go on with a run."""
    options = prepared.options
    return {
        "through": THROUGH,
        "content_url": services.content_url,
        "essays": {name: essay.file.checksum for name, essay in sent.items()},
        "assignment_id": None if options.assignment_id is None else str(options.assignment_id),
        "batch_id": options.batch_id,
        "max_comparisons": options.max_comparisons,
        "llm": options.overrides().model_dump(mode="json", exclude_none=True),
    }
