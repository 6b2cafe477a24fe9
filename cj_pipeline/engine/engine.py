"""This module is the engine: `advance(state, callbacks) -> (state, effects)`.

Rules of this file: it is pure. No I/O, no clock, no global randomness; the same state and callbacks give the same
result in every process. It does not know whether answers are recorded or live. intake.py says what a callback is,
decisions.py decides on facts (facts.py), pairing/ finds pairs; this file only carries decisions out.

Taking the last callback of a wave in and deciding are one step, so there is no moment in between: two replicas that
each saw "all in" cannot submit twice, as long as a step is stored in the transaction that read its state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cj_pipeline.engine.decisions import decisions_for, guard_refuses, reason_for
from cj_pipeline.engine.effects import Effect, Finalize, SubmitWave
from cj_pipeline.engine.facts import Facts, facts_of
from cj_pipeline.engine.intake import Delivery, last_answers, take, with_answers
from cj_pipeline.engine.invariants import check_counters
from cj_pipeline.engine.scoring.scores import rescore
from cj_pipeline.engine.state import Batch, BatchStatus, Decision, DecisionKind, State, UploadStatus, Wave, WaveKind
from cj_pipeline.engine.waves.next_wave import Comparisons, first_wave, next_wave
from cj_pipeline.engine.waves.next_wave import correlation_id as correlation_id
from cj_pipeline.engine.waves.retry_pool import in_flight, settled

Step = tuple[State, tuple[Effect, ...]]

# A batch that has been silent for hours is published all the same when this much of its budget was answered.
RECOVERABLE_PROGRESS = 0.8


def start(batch: Batch) -> Step:
    """Return a new batch and its first wave; a batch without any pair to ask is finalised at once."""
    state = State(batch=batch)
    if len(batch.items) < 2:
        # Nobody to compare with: the sole essay is the zero of its own scale.
        alone = replace(state, scores=dict.fromkeys(batch.items, 0.0))
        return _finalize(alone, UploadStatus.COMPLETE_INSUFFICIENT_ESSAYS, "insufficient_essays")
    comparisons = first_wave(state)
    if comparisons:
        return _submit(state, WaveKind.COVERAGE, comparisons)
    return _finalize(state, UploadStatus.COMPLETE_MAX_COMPARISONS, "nothing_schedulable")


def advance(state: State, callbacks: Iterable[Delivery]) -> Step:
    """Take callbacks in, in the order given, and decide once the open wave is all in.

    Never raises for what a callback says: an unknown correlation id, a repeat or an error is a counted case, and each
    leaves one `Taken` among the effects. Raises BrokenInvariant where the engine itself is wrong.
    """
    effects: list[Effect] = []
    answers = last_answers(state)
    for callback in callbacks:
        state, taken = take(state, callback, answers)
        effects.append(taken)
        if taken.counted and all_in(state):
            state, more = _decide(with_answers(state, answers))
            effects += more
            answers = last_answers(state)
    state = with_answers(state, answers)
    check_counters(state)
    return state, tuple(effects)


def recover(state: State) -> Step:
    """End a batch whose callbacks have stopped coming; its caller, who has a clock, says when.

    With 80 % of the budget answered its scores are published (COMPLETE_FORCED_RECOVERY), below that it fails, and the
    success guard refuses it either way. A finished batch stays as it is. What still comes then is late.
    """
    if state.finished:
        return state, ()
    state = replace(state, abandoned=state.pending)
    if state.progress < RECOVERABLE_PROGRESS:
        return _finalize(state, UploadStatus.ERROR_PROCESSING, "stuck_timeout_insufficient_progress")
    scores = rescore(state)
    if guard_refuses(facts_of(state, scores)):
        return _finalize(state, UploadStatus.ERROR_PROCESSING, "low_success_rate")
    if scores is not None:
        state = replace(state, scores=scores)
    return _finalize(state, UploadStatus.COMPLETE_FORCED_RECOVERY, "stuck_timeout")


def all_in(state: State) -> bool:
    """Return whether every comparison submitted has its callback: the only moment at which anything is decided."""
    return state.pending == 0


def _decide(state: State) -> Step:
    """Rescore, then carry out the first decision that finds something to do."""
    state = replace(state, pool=settled(state))
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
    """Return one decision; None when it wanted a wave and no pair was left for one."""
    decided = replace(state, decisions=(*state.decisions, _log(state, kind, facts)))
    reason = decided.decisions[-1].reason
    match kind:
        case DecisionKind.RETRY_FAILED:
            return _ask(decided, WaveKind.RETRY)
        case DecisionKind.RESAMPLE:
            # Counted only with a wave that is sent; in production a pass that finds no pair stays spent.
            passes = state.resampling_pass_count + 1
            return _ask(replace(decided, resampling_pass_count=passes), WaveKind.RESAMPLING)
        case DecisionKind.REQUEST_MORE_COMPARISONS:
            return _ask(decided, WaveKind.COVERAGE)
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


def _ask(state: State, kind: WaveKind) -> Step | None:
    comparisons = next_wave(state, kind)
    return _submit(state, kind, comparisons) if comparisons else None


def _submit(state: State, kind: WaveKind, comparisons: Comparisons) -> Step:
    """Return the state with one more wave in flight, and the effect that sends it."""
    iteration = len(state.waves)
    retried = {comparison.retry_of for comparison in comparisons if comparison.retry_of is not None}
    sent = replace(
        state,
        waves=(*state.waves, Wave(comparisons)),
        asked={**state.asked, **{comparison.correlation_id: comparison for comparison in comparisons}},
        submitted=state.submitted + len(comparisons),
        pool=in_flight(state.pool, retried, iteration) if retried else state.pool,
    )
    return sent, (SubmitWave(kind=kind, iteration=iteration, comparisons=comparisons),)


def _finalize(state: State, upload_status: UploadStatus, reason: str) -> Step:
    failed = upload_status is UploadStatus.ERROR_PROCESSING
    status = BatchStatus.FAILED if failed else BatchStatus.COMPLETED
    return replace(state, status=status, upload_status=upload_status), (Finalize(upload_status, reason),)
