"""This module runs one mode of the ENG5 runner on the embedded stack, from options to artefact.

Runs in front of deployed services are in deployed_run.py.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event as Flag
from typing import Any

from cj_pipeline.eng5.alignment.case import case_of_run
from cj_pipeline.eng5.alignment.files import write_report
from cj_pipeline.eng5.artefact.files import checksum_of, read_document, write_artefact
from cj_pipeline.eng5.asking import OnProgress, ask, parsed
from cj_pipeline.eng5.boundary import write_boundary
from cj_pipeline.eng5.cj_request import assessment_request
from cj_pipeline.eng5.design import Design, compared_essays, design_of
from cj_pipeline.eng5.draft import Draft, opened_draft
from cj_pipeline.eng5.facts import Answers, Asked, RunFacts, RunIdentity
from cj_pipeline.eng5.inputs import Inventory, read_inventory
from cj_pipeline.eng5.judges import description, judge_for
from cj_pipeline.eng5.logs import EventLog, event_log
from cj_pipeline.eng5.options import (
    RunnerMode,
    RunnerOptions,
    require_capacity,
    require_model,
    require_usable,
    sliced,
)
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.runs.recording.asking import JudgeAway
from cj_pipeline.runs.recording.books import JudgeBehindLps
from cj_pipeline.runs.recording.spending import OpenPurse, Purse
from cj_pipeline.traces.recording_provenance import RecordedJudge

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """A run that wrote its artefact. answers: None in a mode that asks nobody; exit_code: the reference's."""

    artefact: Path
    facts: RunFacts
    answers: Answers | None
    reports: tuple[Path, ...] = ()
    exit_code: int = 0

    @property
    def partial(self) -> bool:
        """Whether not all comparisons were judged that were to be."""
        return self.answers is not None and self.answers.partial is not None


@dataclass(frozen=True, slots=True)
class Whole:
    """What a run is a part of. key: its ids follow from it, None for new ones; open_purse: of what all parts spend."""

    key: str | None
    open_purse: OpenPurse


@dataclass(frozen=True, slots=True)
class Prepared:
    """Inputs and options that were found to fit each other. notes: for people, a sentence each."""

    options: RunnerOptions
    inventory: Inventory
    grade_scale: str | None
    notes: tuple[str, ...]


def prepare(options: RunnerOptions, *, deployed: bool = False, anchors: int | None = None) -> Prepared:
    """Read the inputs and hold the options against them. anchors: of the CJ service, where one is asked.

    Raises BadInput for what cannot be used, CapacityError where there is too little to compare.
    """
    require_usable(options, deployed=deployed)
    notes = require_model(options)
    inventory = read_inventory(options.net, with_students=not options.mode.anchors_only)
    require_capacity(options, inventory, anchors=anchors)
    compared_essays(options.mode, inventory)
    scale = inventory.grade_scale(options.expected_grade_scale)
    inventory = sliced(options, inventory)
    return Prepared(options, inventory, scale, (*notes, *inventory.warnings))


def fresh_identity(options: RunnerOptions) -> RunIdentity:
    """Return new ids, for a mode that keeps no draft."""
    now = utc_now()
    key = (options.mode.value, options.batch_id, now.isoformat())
    return RunIdentity(keyed_uuid("eng5 batch", *key), keyed_uuid("eng5 run", *key), now)


def run(
    options: RunnerOptions,
    *,
    on_progress: OnProgress = lambda _: None,
    note: Note = lambda _: None,
    stop: Flag | None = None,
    restart: bool = False,
    local: RecordedJudge | None = None,
    part_of: Whole | None = None,
) -> RunOutcome:
    """Run one mode on the embedded stack, and return what was written.

    note: called with a sentence for the person who waits. local: the model on this machine, for that kind of judge.
    part_of: an experiment, whose purse is spent from, and which writes reports of its own.
    Raises what `prepare` raises, and JudgeAway where nobody answers; an artefact of what was answered is there then.
    """
    prepared = prepare(options)
    for sentence in prepared.notes:
        note(sentence)
    if not options.mode.asks:
        return _without_answers(prepared)
    with tempfile.TemporaryDirectory(prefix="cj-pipeline-eng5-") as folder:
        judge = judge_for(options, Path(folder), local=local)
        named = description(options, judge)
        design = design_of(options, prepared.inventory, judge.through, named, prepared.grade_scale)
        begun = begun_with(prepared, design, named)
        key = None if part_of is None else part_of.key
        with opened_draft(options.output_dir, options.mode, begun, restart=restart, key=key) as draft:
            return _with_answers(prepared, design, draft, judge, on_progress, note, stop or Flag(), part_of)


def _without_answers(prepared: Prepared) -> RunOutcome:
    identity = fresh_identity(prepared.options)
    with event_log(prepared.options, identity) as log:
        log_beginning(log, prepared)
        facts = facts_of(prepared, identity)
        path = write_artefact(facts)
        log_end(log, path)
    return RunOutcome(path, facts, None)


def _with_answers(
    prepared: Prepared,
    design: Design,
    draft: Draft,
    judge: JudgeBehindLps,
    on_progress: OnProgress,
    note: Note,
    stop: Flag,
    part_of: Whole | None,
) -> RunOutcome:
    options = prepared.options
    with event_log(options, draft.identity) as log:
        log_beginning(log, prepared)
        if draft.answers.taken:
            note(f"going on with a run of {draft.identity.began_at:%Y-%m-%d %H:%M} UTC: {draft.answers.taken} answered")
            log.event("runner_resumed", answered=draft.answers.taken)
        storage = {essay: sha256(text.encode()).hexdigest() for essay, text in design.asked.texts.items()}
        request = assessment_request(options, draft.identity, storage).model_dump(mode="json", exclude_none=True)
        log.event("runner_request_skipped", reason="embedded run", essays=len(storage))
        log.event("collector_started", timeout_seconds=options.timeout_s, wanted=design.wanted)
        away: JudgeAway | None = None
        try:
            purse = Purse if part_of is None else part_of.open_purse
            answers = ask(options, design, draft, judge, on_progress, stop, purse)
        except JudgeAway as error:
            away = error
            log.event("collector_error", error=str(error))
            raw = tuple(draft.answers.lines())
            events = tuple(parsed(line) for line in raw)
            answers = Answers(events=events, raw=raw, wanted=design.wanted, partial=f"nobody answers: {error}")
        log_answers(log, answers, options.timeout_s)
        facts = facts_of(prepared, draft.identity, asked=design.asked, answers=answers, request=request)
        path = write_artefact(facts)
        reports = reports_of(facts, design.asked) if part_of is None else ()
        log_end(log, path)
        if away is not None:
            raise away
        if answers.partial is None:
            draft.discard()
    return RunOutcome(path, facts, answers, reports)


def reports_of(facts: RunFacts, asked: Asked) -> tuple[Path, ...]:
    """Write the reports of a test of anchors, and return their files; none where nothing was answered."""
    options = facts.options
    if facts.answers is None or not facts.answers.won or not options.mode.anchors_only:
        return ()
    if options.mode is RunnerMode.ANCHOR_ALIGN:
        return write_report([case_of_run(facts, asked)], options.output_dir, utc_now()).files
    return write_boundary(facts, asked, utc_now())


def facts_of(prepared: Prepared, identity: RunIdentity, **known: Any) -> RunFacts:
    """Return the facts of a run. known: what else RunFacts takes."""
    return RunFacts(
        options=prepared.options,
        inventory=prepared.inventory,
        identity=identity,
        grade_scale=prepared.grade_scale,
        notes=prepared.notes,
        **known,
    )


def log_beginning(log: EventLog, prepared: Prepared) -> None:
    """Log what was asked for."""
    options, inventory = prepared.options, prepared.inventory
    log.event(
        "runner_invocation",
        max_comparisons=options.max_comparisons,
        llm_overrides=options.overrides().model_dump(mode="json", exclude_none=True),
        anchors=len(inventory.anchors),
        students=len(inventory.students),
        notes=list(prepared.notes),
    )


def log_answers(log: EventLog, answers: Answers, timeout_s: float) -> None:
    """Log what came back, and how the waiting ended."""
    errors = Counter(str(one.data.error_detail.error_code) for one in answers.events if one.data.error_detail)
    log.event("comparisons_hydrated", count=len(answers.events), errors=dict(errors))
    if answers.duplicates:
        log.event("duplicate_llm_comparison_skipped", count=answers.duplicates)
    if answers.partial is None:
        log.event("collector_completed", llm_comparisons=len(answers.events))
    elif answers.timed_out:
        log.event("collector_timeout", timeout_seconds=timeout_s, partial_because=answers.partial)
    else:
        log.event("collector_stopped", partial_because=answers.partial)


def log_end(log: EventLog, artefact: Path) -> None:
    """Log what the artefact says of itself."""
    document = read_document(artefact)
    log.event(
        "runner_validation_state",
        manifest_entries=len(document["validation"]["manifest"]),
        artefact_checksum=document["validation"]["artefact_checksum"],
        checksum_agrees=document["validation"]["artefact_checksum"] == checksum_of(document),
        runner_status=document["validation"].get("runner_status"),
    )
    log.event(
        "runner_execution_complete",
        artefact=str(artefact),
        comparisons=len(document["llm_comparisons"]),
        total_usd=document["costs"]["total_usd"],
    )


def begun_with(prepared: Prepared, design: Design, judge: dict[str, Any]) -> dict[str, Any]:
    """Return what must be the same for another session to go on with a run."""
    options = prepared.options
    return {
        "judge": judge,
        "prompt": design.prompt.sha256,
        "essays": {name: essay.file.checksum for name, essay in design.asked.essays.items()},
        "max_comparisons": options.max_comparisons,
        "batch_id": options.batch_id,
        "batching_mode": None if options.batching_mode is None else options.batching_mode.value,
        "assignment_id": None if options.assignment_id is None else str(options.assignment_id),
        "boundary": [list(map(list, options.boundary.pairs)), options.boundary.repetitions],
        "pairs": [options.fixed_pairs, options.both_orders],
    }
