"""This module makes the blocks of an artefact, `assessment_run.<mode>.json`, of what is known of a run.

A value that is not known is left out or null, never a word or a zero in its place.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Any

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.reasons import CONFIDENCE_KNOWN, TOKENS_KNOWN
from cj_pipeline.eng5.batching import batching_block
from cj_pipeline.eng5.essay_ids import listed_id
from cj_pipeline.eng5.facts import Answers, Asked, RunFacts
from cj_pipeline.eng5.inputs import UNKNOWN_CHECKSUM, InputFile
from cj_pipeline.engine.grades.from_scores import scored_essays
from cj_pipeline.engine.grades.projection import GradeContext, Projection, project
from cj_pipeline.engine.scoring.diagnostics import diagnose, judgements
from cj_pipeline.engine.scoring.rankings import BatchEssay
from cj_pipeline.engine.scoring.scores import SCORING_ERRORS
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.runs.record import bt_fit_of
from cj_pipeline.runs.recording.deployed import cost_of
from cj_pipeline.warehouse.origin import code_version

SCHEMA_VERSION = "1.0.0"
NOT_USED = "not used"

Block = dict[str, Any]
USD_DECIMALS = 6


def document_of(facts: RunFacts, manifest: list[Block]) -> Block:
    """Return the whole artefact, but for its checksum. manifest: of the files that belong to it."""
    answers = facts.answers or Answers()
    projection = None if facts.asked is None else _projection(facts, facts.asked, answers)
    return {
        "schema_version": SCHEMA_VERSION,
        "metadata": _metadata(facts),
        "inputs": _inputs(facts),
        "llm_comparisons": [comparison(number, event) for number, event in enumerate(answers.events, start=1)],
        "bt_summary": [] if facts.asked is None else _bt_summary(facts.asked, answers, projection),
        "grade_projections": [] if projection is None else _grade_projections(projection, answers),
        "costs": costs(answers.events),
        "validation": _validation(facts, answers, manifest),
    }


def comparison(sequence: int, event: CallbackEvent) -> Block:
    """Return one comparison as the artefact has it."""
    data = event.data
    first, second = data.essay_ids()
    winner = data.winning_essay()
    tokens_known = data.request_metadata.get(TOKENS_KNOWN) is not False and data.error_detail is None
    block: Block = {
        "sequence": sequence,
        "correlation_id": str(data.correlation_id),
        "request_id": data.request_id,
        "essay_a_id": first,
        "essay_b_id": second,
        "winner_id": winner,
        "loser_id": None if winner is None else second if winner == first else first,
        "status": "failed" if winner is None else "succeeded",
        "prompt_hash": data.request_metadata.get("prompt_sha256"),
        "provider": str(data.provider),
        "model": data.model,
        "tokens_prompt": data.token_usage.prompt_tokens if tokens_known else None,
        "tokens_completion": data.token_usage.completion_tokens if tokens_known else None,
        "cost_usd": cost_of(data),
        "started_at": _instant(data.requested_at),
        "completed_at": _instant(data.completed_at),
    }
    if data.error_detail is None:
        confidence = None if data.request_metadata.get(CONFIDENCE_KNOWN) is False else data.confidence
        return block | {"confidence": confidence, "justification": data.justification}
    error = data.error_detail
    return block | {"error_code": str(error.error_code), "failure_reason": error.message}


def costs(events: Iterable[CallbackEvent]) -> Block:
    """Return what a run cost, by provider and model; what nobody knows is counted and is no part of a sum."""
    rows: defaultdict[tuple[str, str], Block] = defaultdict(
        lambda: {"prompt_tokens": 0, "completion_tokens": 0, "usd": 0.0, "comparisons": 0, "unknown_cost": 0}
    )
    for event in events:
        block = comparison(1, event)
        row = rows[block["provider"], block["model"]]
        row["comparisons"] += 1
        row["prompt_tokens"] += block["tokens_prompt"] or 0
        row["completion_tokens"] += block["tokens_completion"] or 0
        row["usd"] += block["cost_usd"] or 0.0
        row["unknown_cost"] += block["cost_usd"] is None
    counts = [
        {"provider": provider, "model": model, **row, "usd": round(row["usd"], USD_DECIMALS)}
        for (provider, model), row in sorted(rows.items())
    ]
    return {"total_usd": round(sum(row["usd"] for row in counts), USD_DECIMALS), "token_counts": counts}


def _metadata(facts: RunFacts) -> Block:
    options, code = facts.options, code_version()
    generated = utc_now()
    if facts.answers is not None and facts.answers.events:
        # An embedded mock answers in simulated time, which runs ahead of the clock on the wall.
        generated = max(generated, *(event.data.completed_at for event in facts.answers.events))
    block: Block = {
        "assignment_id": None if options.assignment_id is None else str(options.assignment_id),
        "course_id": None if options.course_id is None else str(options.course_id),
        "grade_scale": facts.grade_scale,
        "runner_version": code.version,
        "git_sha": code.git_sha or None,
        "generated_at": _instant(generated),
        "began_at": _instant(facts.identity.began_at),
        "runner_mode": options.mode.value,
        "batch_uuid": str(facts.identity.batch_uuid),
        "correlation_id": str(facts.identity.correlation_id),
        "batch_id": options.batch_id,
        "course_code": options.course_code,
        "language": options.language,
        "max_comparisons": options.max_comparisons,
        "llm_batching_mode_hint": None if options.batching_mode is None else options.batching_mode.value,
        "llm_config_overrides": options.overrides().model_dump(mode="json", exclude_none=True),
    }
    if facts.answers is not None:
        block["batching"] = batching_block(options.batching_mode, (event.data for event in facts.answers.events))
    if facts.asked is not None:
        block |= {
            "through": facts.asked.through,
            "judge": dict(facts.asked.judge),
            "prompts": None if facts.asked.prompt is None else _prompts(facts.asked),
        }
    return block


def _prompts(asked: Asked) -> Block:
    texts = {} if asked.prompt is None else asked.prompt.model_dump()
    return {
        name: {"sha256": sha256(text.encode()).hexdigest(), "text": text} if text.strip() else None
        for name, text in texts.items()
    }


def _inputs(facts: RunFacts) -> Block:
    inventory = facts.inventory
    compared = {} if facts.asked is None else {essay.stem: name for name, essay in facts.asked.essays.items()}
    return {
        "instructions": _text_block(inventory.instructions),
        "prompt_reference": _text_block(inventory.prompt),
        "anchor_table": None if inventory.anchor_table is None else _file_block(inventory.anchor_table),
        "anchors": [
            {
                "anchor_id": anchor.name,
                "grade": anchor.grade,
                **_file_block(anchor.file),
                **({"compared_as": compared[anchor.stem]} if anchor.stem in compared else {}),
            }
            for anchor in inventory.anchors
        ],
        "students": [
            {
                "essay_id": listed_id(student.stem),
                **_file_block(student.file),
                **({"compared_as": compared[student.stem]} if student.stem in compared else {}),
            }
            for student in inventory.students
        ],
    }


def _text_block(file: InputFile | None) -> Block:
    if file is None:
        return {"source_path": "", "checksum": UNKNOWN_CHECKSUM, "content": ""}
    return {"source_path": str(file.path), "checksum": file.checksum, "content": file.text}


def _file_block(file: InputFile) -> Block:
    return {"file_name": file.path.name, "source_path": str(file.path), "checksum": file.checksum}


def _bt_summary(asked: Asked, answers: Answers, projection: Projection | None) -> list[Block]:
    """Return scores (logits), best first. A CJ service's own score is beside ours, which has a standard error."""
    compared = {essay for event in answers.events for essay in event.data.essay_ids()}
    items = sorted(compared | set(asked.essays))
    if not answers.won:
        return []
    grades = {} if projection is None else {one.essay_id: one.grade for one in projection.grades}
    published = {} if answers.result is None else {one.essay_id: one for one in answers.result.essay_results}
    rows = []
    for row in sorted(bt_fit_of(items, answers.won).essays, key=lambda row: row.rank):
        essay, result = asked.essays.get(row.essay_id), published.get(row.essay_id)
        is_anchor = row.essay_id in asked.anchors or (result is not None and result.is_anchor)
        block: Block = {
            "essay_id": row.essay_id,
            "theta": row.theta,
            "standard_error": row.standard_error,
            "rank": row.rank,
            "comparison_count": row.wins + row.losses,
            "wins": row.wins,
            "losses": row.losses,
            "is_anchor": is_anchor,
        }
        known = essay.grade if essay is not None else result.grade if result is not None and is_anchor else None
        if is_anchor and known is not None:
            block["anchor_grade"] = known
        if row.essay_id in grades:
            block["grade_projection"] = grades[row.essay_id]
        if result is not None:
            block["published_theta"] = result.bt_score
        rows.append(block)
    return rows


def _projection(facts: RunFacts, asked: Asked, answers: Answers) -> Projection | None:
    """Return the grades of the students, from the anchors' scores; None where there is no scale or no student."""
    known = {essay: asked.essays[essay].grade for essay in asked.anchors if essay in asked.essays}
    if answers.result is not None:
        known |= {one.essay_id: one.grade for one in answers.result.essay_results if one.is_anchor}
    compared = {essay for event in answers.events for essay in event.data.essay_ids()}
    items = sorted(compared | set(asked.essays))
    if facts.grade_scale is None or not set(items) - set(known):
        return None
    try:
        diagnostics = diagnose(items, judgements(event.data for event in answers.events))
    except SCORING_ERRORS:
        return None
    batch = [
        BatchEssay(item, is_anchor=item in known, metadata={"anchor_grade": known[item]} if known.get(item) else {})
        for item in items
    ]
    return project(scored_essays(batch, diagnostics), GradeContext(facts.grade_scale))


def _grade_projections(projection: Projection, answers: Answers) -> list[Block]:
    published = {} if answers.result is None else {one.essay_id: one.grade for one in answers.result.essay_results}
    return [
        {
            "essay_id": grade.essay_id,
            "grade_scale": projection.scale.name,
            "grade": grade.grade,
            "probabilities": dict(grade.probabilities),
            "likely_grades": list(grade.likely_grades),
            **({"published_grade": published[grade.essay_id]} if grade.essay_id in published else {}),
        }
        for grade in projection.grades
    ]


def _validation(facts: RunFacts, answers: Answers, manifest: list[Block]) -> Block:
    block: Block = {
        "artefact_checksum": UNKNOWN_CHECKSUM,
        "manifest": manifest,
        "cli_environment": {
            "python": platform.python_version(),
            "os": platform.platform(),
            "pdm": NOT_USED,
            "docker_compose": NOT_USED,
        },
        "notes": list(facts.notes),
    }
    if facts.answers is not None:
        block["runner_status"] = {
            "partial_data": answers.partial is not None,
            "partial_because": answers.partial,
            "timeout_seconds": facts.options.timeout_s,
            "wanted_comparisons": answers.wanted,
            "asked_again": answers.asked_again,
            "duplicates_skipped": answers.duplicates,
            "spent_usd_at_most": answers.spent_usd,
            **({"service_counters": dict(answers.counters)} if answers.counters else {}),
            "observed_events": {
                "llm_comparisons": len(answers.events),
                "assessment_results": len(answers.results),
                "completions": len(answers.completions),
            },
        }
    if facts.post_run:
        block["post_run"] = dict(facts.post_run)
    return block


def _instant(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
