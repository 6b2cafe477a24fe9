"""What a batch leaves behind, in one shape wherever it ran.

Here: `Evidence`, and taking it from an engine's state or from a service's database. Not here: judging it (rules.py).

Of a served batch the numbers are those of its rows and its stored metadata, which others read; only what is stored
nowhere else (is the net small, is it through its passes) is asked of the stored state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.engine.facts import is_small_net, small_net_cap_reached
from cj_pipeline.engine.state import State
from cj_pipeline.engine.stored import from_json, to_json
from cj_pipeline.runs.record import RunRecord, Sample, Side, document_of
from cj_pipeline.runs.recorded_answers import answer_columns
from cj_pipeline.services.cj.store.database import Database
from cj_pipeline.services.cj.store.tables import (
    batch_states,
    batch_uploads,
    comparison_pairs,
    processed_essays,
    quarantined_messages,
    state_snapshots,
)
from tests.services.cj.suites.cases import Case

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """One comparison as the CJ side keeps it. winner: the essay, None for an error or no answer."""

    correlation_id: UUID
    essay_a: str
    essay_b: str
    winner: str | None
    kind: str
    iteration: int


@dataclass(frozen=True)
class Service:
    """What there is only of a service. cj_metrics: its /metrics; published: its events by topic.

    override: `llm_batching_mode_override` of the request it keeps; quarantined: messages it could not use.
    """

    cj_metrics: tuple[Sample, ...]
    published: Mapping[str, Sequence[Document]]
    original_request: Document
    quarantined: int


@dataclass(frozen=True)
class Evidence:
    """A batch that is over.

    topic: every message of the callback topic, read again from its beginning once nothing more can come.
    completed_at: aware. mock: what the LPS says of itself. record: the engine's state, as runs/ keeps it.
    """

    case: Case
    mock: Document
    status: str
    upload_status: str
    failed_reason: object
    total_budget: int
    max_pairs_requested: int
    total: int
    submitted: int
    completed: int
    failed: int
    iterations: int
    completed_at: datetime | None
    compared: tuple[Shown, ...]
    topic: tuple[CallbackEvent, ...]
    max_possible_pairs: int
    successful_pairs_count: int
    unique_coverage_complete: bool
    resampling_pass_count: int
    is_small_net: bool
    small_net_cap_reached: bool
    se_summary: Mapping[str, float]
    quality_flags: Mapping[str, bool]
    batching_mode: str
    scores: Mapping[str, float | None]
    lps_metrics: tuple[Sample, ...]
    record: RunRecord
    service: Service | None = None

    @property
    def answered(self) -> int:
        """Callbacks that counted."""
        return self.completed + self.failed

    def shown(self) -> list[tuple[str, str]]:
        """What the judge saw, from what the callbacks echo; one that came twice was still judged once."""
        judged = {event.data.correlation_id: event.data.essay_ids() for event in self.topic}
        return list(judged.values())

    def positions(self) -> dict[str, tuple[int, int]]:
        """How often the judge saw each essay as A and as B."""
        shown = self.shown()
        as_a, as_b = Counter(a for a, _ in shown), Counter(b for _, b in shown)
        return {essay: (as_a[essay], as_b[essay]) for essay in self.case.essays}

    def orders(self) -> dict[frozenset[str], Counter[tuple[str, str]]]:
        """How often the judge saw each pair in which order."""
        orders: dict[frozenset[str], Counter[tuple[str, str]]] = {}
        for shown in self.shown():
            orders.setdefault(frozenset(shown), Counter())[shown] += 1
        return orders

    def won_pairs(self) -> set[frozenset[str]]:
        """Pairs with a winner, from the callbacks."""
        return {frozenset(event.data.essay_ids()) for event in self.topic if event.data.succeeded}


def record_for(case: Case, state: State, topic: tuple[CallbackEvent, ...], lps: tuple[Sample, ...]) -> RunRecord:
    """The state as a record of its run."""
    document = document_of(
        state,
        answer_columns(event.data for event in topic),
        scenario_id=case.name,
        side=Side.LIVE,
        judge=case.mode,
        judge_sha256="0" * 64,
        service_metrics=lps,
    )
    return RunRecord(document=document, events=topic)


def evidence_of_state(
    case: Case,
    state: State,
    *,
    completed_at: datetime | None,
    topic: tuple[CallbackEvent, ...],
    mock: Document,
    lps_metrics: tuple[Sample, ...],
) -> Evidence:
    """Of the engine without a service. completed_at: when it said that the batch is over."""
    record = record_for(case, state, topic, lps_metrics)
    document = record.document
    answers = {key: answer for wave in state.waves for key, answer in wave.answers.items()}
    return Evidence(
        case=case,
        mock=mock,
        status=state.status.value,
        upload_status=document.upload_status,
        failed_reason=None,
        total_budget=state.batch.total_budget,
        max_pairs_requested=state.batch.total_budget,
        total=len(state.comparisons()),
        submitted=document.submitted,
        completed=document.completed,
        failed=document.failed,
        iterations=document.iterations,
        completed_at=completed_at,
        compared=tuple(
            Shown(
                correlation_id=comparison.correlation_id,
                essay_a=comparison.essay_a,
                essay_b=comparison.essay_b,
                winner=answers[comparison.correlation_id].winner if comparison.correlation_id in answers else None,
                kind=comparison.kind.value,
                iteration=comparison.iteration,
            )
            for comparison in state.comparisons()
        ),
        topic=topic,
        max_possible_pairs=document.coverage.max_possible_pairs,
        successful_pairs_count=document.coverage.successful_pairs_count,
        unique_coverage_complete=document.coverage.unique_coverage_complete,
        resampling_pass_count=document.resampling_pass_count,
        is_small_net=document.is_small_net,
        small_net_cap_reached=document.small_net_cap_reached,
        se_summary=document.fit.se_summary,
        quality_flags=document.fit.quality_flags,
        # Through the stored form, as a service would read it.
        batching_mode=from_json(to_json(state)).batch.batching_mode.value,
        scores={} if state.scores is None else state.scores,
        lps_metrics=lps_metrics,
        record=record,
    )


async def evidence_of_database(
    case: Case,
    database: Database,
    *,
    topic: tuple[CallbackEvent, ...],
    mock: Document,
    lps_metrics: tuple[Sample, ...],
    cj_metrics: tuple[Sample, ...],
    published: Mapping[str, Sequence[Document]],
) -> Evidence:
    """Of the one batch in a service's database."""
    async with database.transaction() as transaction:
        (upload,) = await transaction.all(select(batch_uploads))
        (row,) = await transaction.all(select(batch_states))
        (snapshot,) = await transaction.all(select(state_snapshots))
        pairs = await transaction.all(select(comparison_pairs).order_by(comparison_pairs.c.id))
        essays = await transaction.all(select(processed_essays))
        quarantined = await transaction.all(select(quarantined_messages.c.id))
    told: Document = row.processing_metadata
    state = from_json(snapshot.state)
    return Evidence(
        case=case,
        mock=mock,
        status=row.state,
        upload_status=upload.status,
        failed_reason=told.get("failed_reason"),
        total_budget=row.total_budget,
        max_pairs_requested=told["comparison_budget"]["max_pairs_requested"],
        total=row.total_comparisons,
        submitted=row.submitted_comparisons,
        completed=row.completed_comparisons,
        failed=row.failed_comparisons,
        iterations=row.current_iteration,
        completed_at=None if upload.completed_at is None else upload.completed_at.replace(tzinfo=UTC),
        compared=tuple(
            Shown(
                correlation_id=UUID(pair.request_correlation_id),
                essay_a=pair.essay_a_els_id,
                essay_b=pair.essay_b_els_id,
                winner={"essay_a": pair.essay_a_els_id, "essay_b": pair.essay_b_els_id}.get(pair.winner),
                kind=pair.pair_generation_mode,
                iteration=pair.iteration,
            )
            for pair in pairs
        ),
        topic=topic,
        max_possible_pairs=told["max_possible_pairs"],
        successful_pairs_count=told["successful_pairs_count"],
        unique_coverage_complete=told["unique_coverage_complete"],
        resampling_pass_count=told["resampling_pass_count"],
        is_small_net=is_small_net(state),
        small_net_cap_reached=small_net_cap_reached(state),
        se_summary=told.get("bt_se_summary", {}),
        quality_flags=told.get("bt_quality_flags", {}),
        batching_mode=told["llm_batching_mode"],
        scores={essay.els_essay_id: essay.current_bt_score for essay in essays},
        lps_metrics=lps_metrics,
        record=record_for(case, state, topic, lps_metrics),
        service=Service(
            cj_metrics=cj_metrics,
            published=published,
            original_request=told["original_request"],
            quarantined=len(quarantined),
        ),
    )
