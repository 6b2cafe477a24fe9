"""The engine: `advance(state, callbacks) -> (state, effects)`.

Rules of this file: it is pure. No I/O, no clock, no global randomness; the same state and callbacks give the same
result in every process. It does not know whether answers are recorded or live. Decisions stand in decisions.py, their
facts in facts.py, pairs in pairing.py; this file only takes answers in and carries decisions out.

Counters move once per comparison: a callback that repeats, arrives after the end or belongs to no comparison is
counted under its own name and changes nothing else, so completion can never pass 100 %.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from cj_pipeline.cj.decisions import decisions_for, guard_refuses, reason_for
from cj_pipeline.cj.effects import Effect, Finalize, SubmitWave
from cj_pipeline.cj.facts import Facts, facts_of
from cj_pipeline.cj.orientation import orient
from cj_pipeline.cj.pairing import next_pairs
from cj_pipeline.cj.scoring import rescore
from cj_pipeline.cj.state import (
    Answer,
    Batch,
    BatchStatus,
    Comparison,
    Decision,
    DecisionKind,
    PlannedPair,
    State,
    UploadStatus,
    Wave,
    WaveKind,
)
from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.seeding import keyed_uuid

Step = tuple[State, tuple[Effect, ...]]


def start(batch: Batch) -> Step:
    """A new batch and its first wave; a batch without any pair to ask is finalised at once."""
    state = State(batch=batch)
    submitted = _submit(state, WaveKind.COVERAGE)
    if submitted is not None:
        return submitted
    return _finalize(state, UploadStatus.COMPLETE_MAX_COMPARISONS, "nothing_schedulable")


def advance(state: State, callbacks: Iterable[LLMComparisonResultV1]) -> Step:
    """Take callbacks in, in the order given, and decide once the open wave is all in.

    Never raises for what a callback says: an unknown correlation id, a repeat or an error is a counted case.
    """
    effects: tuple[Effect, ...] = ()
    for callback in callbacks:
        state, counted = _take(state, callback)
        if counted and state.pending == 0:
            state, more = _decide(state)
            effects += more
    return state, effects


def _take(state: State, callback: LLMComparisonResultV1) -> tuple[State, bool]:
    """The state with one callback in it, and whether it counted."""
    index = state.wave_of.get(callback.correlation_id)
    if index is None:
        return replace(state, orphan_callbacks=state.orphan_callbacks + 1), False
    # Before the check for repeats: a batch ends with every answer in, so afterwards each callback would be a repeat.
    if state.finished:
        return replace(state, late_callbacks=state.late_callbacks + 1), False
    wave = state.waves[index]
    if callback.correlation_id in wave.answers:
        return replace(state, duplicate_callbacks=state.duplicate_callbacks + 1), False
    comparison = next(c for c in wave.comparisons if c.correlation_id == callback.correlation_id)
    answer = _answer(comparison, callback)
    answered = replace(wave, answers={**wave.answers, callback.correlation_id: answer})
    succeeded = answer.winner is not None
    return (
        replace(
            state,
            waves=(*state.waves[:index], answered, *state.waves[index + 1 :]),
            completed=state.completed + succeeded,
            failed=state.failed + (not succeeded),
        ),
        True,
    )


def _answer(comparison: Comparison, callback: LLMComparisonResultV1) -> Answer:
    # The essays are the engine's own record of what it asked, not the echo: an echo can be wrong.
    if callback.winner is None:
        return Answer(
            winner=None, error_code=None if callback.error_detail is None else callback.error_detail.error_code
        )
    return Answer(winner=comparison.essay_a if callback.winner is Winner.A else comparison.essay_b, error_code=None)


def _decide(state: State) -> Step:
    """Rescore, then carry out the first decision that finds something to do."""
    scores = rescore(state)
    facts = facts_of(state, scores)
    if scores is not None:
        state = replace(state, scores=scores)
    for kind in decisions_for(facts):
        step = _carry_out(state, kind, facts)
        if step is not None:
            return step
    raise AssertionError("the last row of the decision table always holds")


def _carry_out(state: State, kind: DecisionKind, facts: Facts) -> Step | None:
    """One decision; None when it wanted a wave and no pair was left for one."""
    decided = replace(state, decisions=(*state.decisions, _log(state, kind, facts)))
    reason = decided.decisions[-1].reason
    match kind:
        case DecisionKind.RESAMPLE:
            passes = state.resampling_pass_count + 1
            return _submit(replace(decided, resampling_pass_count=passes), WaveKind.RESAMPLING)
        case DecisionKind.REQUEST_MORE_COMPARISONS:
            return _submit(decided, WaveKind.COVERAGE)
        case DecisionKind.FINALIZE_SCORING:
            return _finalize(decided, UploadStatus.COMPLETE_STABLE, reason)
        case DecisionKind.FINALIZE_FAILURE:
            return _finalize(decided, UploadStatus.ERROR_PROCESSING, reason)
        case DecisionKind.FINALIZE_NOTHING_SCHEDULABLE:
            refused = guard_refuses(facts)
            end = UploadStatus.ERROR_PROCESSING if refused else UploadStatus.COMPLETE_MAX_COMPARISONS
            return _finalize(decided, end, reason)


def _log(state: State, kind: DecisionKind, facts: Facts) -> Decision:
    return Decision(
        kind=kind,
        reason=reason_for(kind, facts),
        iteration=len(state.waves),
        callbacks=facts.callbacks,
        success_rate=facts.success_rate,
        max_score_change=facts.max_score_change,
    )


def _submit(state: State, kind: WaveKind) -> Step | None:
    """The state with one more wave in flight, and the effect that sends it; None when there is no pair to send."""
    pairs = next_pairs(state, kind)
    if not pairs:
        return None
    iteration = len(state.waves)
    planned = [pair for pair in pairs if isinstance(pair, PlannedPair)]
    if not planned:
        unordered = [pair for pair in pairs if not isinstance(pair, PlannedPair)]
        planned = [PlannedPair(a, b) for a, b in orient(state, unordered, kind)]
    comparisons = tuple(
        Comparison(
            correlation_id=pair.correlation_id or correlation_id(state.batch, iteration, position),
            essay_a=pair.essay_a,
            essay_b=pair.essay_b,
            kind=kind,
            iteration=iteration,
        )
        for position, pair in enumerate(planned)
    )
    wave_of = {**state.wave_of, **{comparison.correlation_id: iteration for comparison in comparisons}}
    sent = replace(
        state,
        waves=(*state.waves, Wave(comparisons)),
        wave_of=wave_of,
        submitted=state.submitted + len(comparisons),
    )
    return sent, (SubmitWave(kind=kind, iteration=iteration, comparisons=comparisons),)


def correlation_id(batch: Batch, iteration: int, position: int) -> UUID:
    """Id of one comparison: the same in every process, another one in every batch."""
    return keyed_uuid("comparison", batch.seed, batch.bos_batch_id, iteration, position)


def _finalize(state: State, upload_status: UploadStatus, reason: str) -> Step:
    failed = upload_status is UploadStatus.ERROR_PROCESSING
    status = BatchStatus.FAILED if failed else BatchStatus.COMPLETED
    return replace(state, status=status, upload_status=upload_status), (Finalize(upload_status, reason),)
