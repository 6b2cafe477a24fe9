"""This module defines the record of a run, the same for a recording and for the mock, and makes it of a batch.

It does not store records (tables.py) or compare them (parity/).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Any

import numpy as np

from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.diagnostics import flags_are_vacuous, quality_flags, se_summary
from cj_pipeline.bt.fit import PRODUCTION_ALPHA, fit, fit_warnings, neutral_fit
from cj_pipeline.contracts.callback import CallbackEvent, LLMComparisonResultV1
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.engine.facts import is_small_net, small_net_cap_reached, successful_pairs
from cj_pipeline.engine.scoring.scores import SCORING_ERRORS
from cj_pipeline.engine.scoring.wave_results import WaveResult, wave_results
from cj_pipeline.engine.state import Decision, State
from cj_pipeline.runs.diagnostics import RunDiagnostics, diagnostics_of
from cj_pipeline.runs.recorded_answers import AnswerColumns

NOT_REPLAYED = "not_replayed"
"""The status of callbacks that the engine has not seen."""

# What an ordinary loop cannot repeat to the microsecond; everything else is the same in real and virtual time.
CLOCK_FIELDS: dict[str, bool | dict[str, bool]] = {
    "requested_at": True,
    "completed_at": True,
    "error_detail": {"timestamp": True},
}


class Side(StrEnum):
    """Which of the two runs that parity compares."""

    RECORDED = "recorded"
    LIVE = "live"


class ScoredEssay(FileModel):
    """One row of the fit. theta, standard_error: logits, centred gauge; standard_error None where nothing is known."""

    essay_id: str
    theta: float
    standard_error: float | None
    rank: int
    wins: int
    losses: int


class BtFit(FileModel):
    """The Bradley-Terry fit of a run: rows in the order of their essay ids, summary and flags in production's keys."""

    estimator: str
    kappa: float
    essays: tuple[ScoredEssay, ...]
    se_summary: dict[str, float]
    quality_flags: dict[str, bool]
    vacuous_flags: tuple[str, ...]
    """Flags that no judge could change on this net."""
    warnings: tuple[str, ...]


class Coverage(FileModel):
    """Which pairs were judged, and how often."""

    max_possible_pairs: int
    successful_pairs_count: int
    unique_coverage_complete: bool
    comparison_count: int


class LoggedDecision(FileModel):
    """One decision of the engine; see engine.state.Decision."""

    kind: str
    reason: str
    iteration: int
    callbacks: int
    success_rate: float | None
    max_score_change: float | None


class Sample(FileModel):
    """One sample of /metrics."""

    name: str
    labels: dict[str, str]
    value: float


class RunDocument(FileModel):
    """Everything about a run but its callbacks: what is stored as one JSON document."""

    scenario_id: str
    side: Side
    judge: str
    judge_sha256: str
    seed: int
    upload_status: str
    submitted: int
    completed: int
    failed: int
    duplicate_callbacks: int
    late_callbacks: int
    orphan_callbacks: int
    quarantined_lines: int = 0
    """Lines of the file that could not be used; always 0 for a run that was asked."""
    asked_batch_ids: tuple[str, ...] = ()
    """The batch ids under which a run of the scenario asked: the batch, then its repeats; empty for a recording."""
    answers_sha256: str = ""
    """Of which essay won which comparison, in order."""
    iterations: int
    is_small_net: bool
    resampling_pass_count: int
    small_net_cap_reached: bool
    coverage: Coverage
    decisions: tuple[LoggedDecision, ...]
    fit: BtFit
    waves: tuple[WaveResult, ...] = ()
    """Empty in documents that were stored before waves were kept."""
    diagnostics: RunDiagnostics | None = None
    """None where there is no scale, and in older documents."""
    service_metrics: tuple[Sample, ...] = ()


class RunRecord(FileModel):
    """One run: its callbacks in order of arrival, what the engine made of them, and further batches if there were."""

    document: RunDocument
    events: tuple[CallbackEvent, ...]
    repeats: tuple[tuple[CallbackEvent, ...], ...] = ()

    @property
    def callbacks(self) -> tuple[LLMComparisonResultV1, ...]:
        """Return the verdicts of the batch itself."""
        return tuple(event.data for event in self.events)

    @property
    def pooled_events(self) -> tuple[CallbackEvent, ...]:
        """Return the events of the batch and of its repeats, for measures of the judge rather than of one batch."""
        return sum(self.repeats, self.events)

    @property
    def pooled_callbacks(self) -> tuple[LLMComparisonResultV1, ...]:
        """Return the verdicts of the batch and of its repeats."""
        return tuple(event.data for event in self.pooled_events)

    def canonical_bytes(self) -> bytes:
        """Return the whole record as JSON; two runs are the same when these bytes are."""
        return self.model_dump_json().encode()

    def answers_sha256(self) -> str:
        """Digest of what was answered, apart from when: equal in real and in virtual time."""
        return answers_sha256(self.pooled_callbacks)


def answers_sha256(callbacks: Iterable[LLMComparisonResultV1]) -> str:
    """Return a digest of what was answered, apart from when: equal in real and in virtual time."""
    digest = sha256()
    for callback in callbacks:
        digest.update(callback.model_dump_json(exclude=CLOCK_FIELDS).encode())
    return digest.hexdigest()


def document_of(
    state: State,
    answers: AnswerColumns,
    *,
    scenario_id: str,
    side: Side,
    judge: str,
    judge_sha256: str,
    service_metrics: tuple[Sample, ...] = (),
    quarantined_lines: int = 0,
    asked_batch_ids: tuple[str, ...] = (),
) -> RunDocument:
    """Return the document of a batch; `upload_status` says whether it is finished.

    answers: in order of arrival.
    """
    shown = zip(answers.essays_a, answers.essays_b, strict=True)
    return RunDocument(
        scenario_id=scenario_id,
        side=side,
        judge=judge,
        judge_sha256=judge_sha256,
        seed=state.batch.seed,
        upload_status=state.upload_status.value,
        submitted=state.submitted,
        completed=state.completed,
        failed=state.failed,
        duplicate_callbacks=state.duplicate_callbacks,
        late_callbacks=state.late_callbacks,
        orphan_callbacks=state.orphan_callbacks,
        quarantined_lines=quarantined_lines,
        asked_batch_ids=asked_batch_ids,
        answers_sha256=_answers_sha256((essays, answers.winning_essay(row)) for row, essays in enumerate(shown)),
        iterations=len(state.waves),
        is_small_net=is_small_net(state),
        resampling_pass_count=state.resampling_pass_count,
        small_net_cap_reached=small_net_cap_reached(state),
        coverage=_coverage(state),
        decisions=tuple(_logged(decision) for decision in state.decisions),
        fit=_fit(state),
        waves=wave_results(state),
        diagnostics=diagnostics_of(state, zip(answers.correlation_ids, answers.judges, strict=True)),
        service_metrics=service_metrics,
    )


def unreplayed_record(
    events: tuple[CallbackEvent, ...],
    *,
    scenario_id: str,
    essays: int,
    side: Side,
    judge: str,
    judge_sha256: str,
    seed: int,
    quarantined_lines: int,
) -> RunRecord:
    """Return the record of callbacks that the engine has not seen: no wave, no decision, no score.

    The checks on what the engine makes of them are off then.
    """
    ids = {event.data.correlation_id for event in events}
    judged = {frozenset(event.data.essay_ids()) for event in events if event.data.succeeded}
    completed = sum(event.data.succeeded for event in events)
    most = essays * (essays - 1) // 2
    document = RunDocument(
        scenario_id=scenario_id,
        side=side,
        judge=judge,
        judge_sha256=judge_sha256,
        seed=seed,
        upload_status=NOT_REPLAYED,
        submitted=len(ids),
        completed=completed,
        failed=len(events) - completed,
        duplicate_callbacks=len(events) - len(ids),
        late_callbacks=0,
        orphan_callbacks=0,
        quarantined_lines=quarantined_lines,
        answers_sha256=_answers_sha256((event.data.essay_ids(), event.data.winning_essay()) for event in events),
        iterations=0,
        is_small_net=False,
        resampling_pass_count=0,
        small_net_cap_reached=False,
        coverage=Coverage(
            max_possible_pairs=most,
            successful_pairs_count=len(judged),
            unique_coverage_complete=len(judged) >= most,
            comparison_count=completed,
        ),
        decisions=(),
        fit=BtFit(
            estimator=NOT_REPLAYED,
            kappa=0.0,
            essays=(),
            se_summary={},
            quality_flags={},
            vacuous_flags=(),
            warnings=("Not replayed: there are no scores.",),
        ),
    )
    return RunRecord(document=document, events=events)


def _answers_sha256(outcomes: Iterable[tuple[tuple[str, str], str | None]]) -> str:
    digest = sha256()
    for outcome in outcomes:
        digest.update(repr(outcome).encode())
    return digest.hexdigest()


def _coverage(state: State) -> Coverage:
    successful = successful_pairs(state)
    return Coverage(
        max_possible_pairs=state.batch.max_possible_pairs,
        successful_pairs_count=successful,
        unique_coverage_complete=successful >= state.batch.max_possible_pairs,
        comparison_count=state.completed,
    )


def _logged(decision: Decision) -> LoggedDecision:
    fields: dict[str, Any] = {name: getattr(decision, name) for name in LoggedDecision.model_fields}
    return LoggedDecision(**{**fields, "kind": decision.kind.value})


def _fit(state: State) -> BtFit:
    return bt_fit_of(state.batch.items, state.won(), alpha=state.batch.settings.bt_alpha)


def bt_fit_of(items: Sequence[str], won: Iterable[tuple[str, str]], *, alpha: float = PRODUCTION_ALPHA) -> BtFit:
    """Return the fit of some outcomes by production's estimator; where nothing was judged, neutral scores.

    items: essay ids, sorted; won: winner and loser of each successful comparison.
    """
    pairs = list(won)
    index = {essay: position for position, essay in enumerate(items)}
    comparisons = Comparisons([index[winner] for winner, _ in pairs], [index[loser] for _, loser in pairs], len(items))
    try:
        fitted = fit(comparisons, estimator="production", alpha=alpha)
    except SCORING_ERRORS:
        fitted = neutral_fit(len(items))
    wins = Counter(winner for winner, _ in pairs)
    losses = Counter(loser for _, loser in pairs)
    by_score = np.lexsort((np.arange(fitted.n_items), -fitted.theta))
    rank = {int(item): position + 1 for position, item in enumerate(by_score)}
    summary = se_summary(fitted.standard_error, comparisons)
    return BtFit(
        estimator=fitted.estimator,
        kappa=fitted.kappa,
        essays=tuple(
            ScoredEssay(
                essay_id=essay,
                theta=float(fitted.theta[item]),
                standard_error=_finite(float(fitted.standard_error[item])),
                rank=rank[item],
                wins=wins[essay],
                losses=losses[essay],
            )
            for item, essay in enumerate(items)
        ),
        se_summary=summary.as_dict(),
        quality_flags=quality_flags(summary).as_dict(),
        vacuous_flags=flags_are_vacuous(comparisons).names,
        warnings=fit_warnings(fitted, items),
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
