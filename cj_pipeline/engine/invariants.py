"""This module checks what is always true of a batch.

`check_counters` compares a few integers and runs after every step of the engine, in production too: a batch that would
report more than 100 %, or end over callbacks in flight, must not be stored. `check` walks the whole state, and runs
where a stored one is read. A breach is a bug of the engine, never of a callback.
"""

from __future__ import annotations

from collections import Counter

from cj_pipeline.engine.state import State


class BrokenInvariant(Exception):
    """The engine made a state that cannot be; the step must be thrown away, and the state before it is good."""


def check_counters(state: State) -> None:
    """Raise BrokenInvariant with the first sentence that the counters contradict."""
    if state.callbacks > state.submitted:
        raise BrokenInvariant(_about(state, "completion is at most 100 %"))
    if state.submitted > state.batch.total_budget:
        raise BrokenInvariant(_about(state, "the budget is kept"))
    if state.finished and state.pending != state.abandoned:
        raise BrokenInvariant(_about(state, "a finished batch has nothing in flight"))
    if not state.finished and state.pending == 0:
        raise BrokenInvariant(_about(state, "an unfinished batch waits for something"))


def check(state: State) -> None:
    """Raise BrokenInvariant with every sentence that does not hold. Costs a walk through the whole batch."""
    if sentences := broken(state):
        raise BrokenInvariant(_about(state, "; ".join(sentences)))


def broken(state: State) -> list[str]:
    """Return the sentences that do not hold; empty when all do."""
    answered = sum(len(wave.answers) for wave in state.waves)
    flying = [wave for wave in state.waves if len(wave.answers) < len(wave.comparisons)]
    pool, statistics = state.pool.entries, state.pool.statistics
    failures = Counter(answer.winner is None for wave in state.waves for answer in wave.answers.values())
    sentences = {
        "completion is at most 100 %": state.completed + state.failed <= state.submitted,
        "the budget is kept": state.submitted <= state.batch.total_budget,
        "each counted callback is one answered comparison": state.callbacks == answered,
        "completed and failed are what the answers say": (state.completed, state.failed)
        == (failures[False], failures[True]),
        "submitted counts the comparisons": state.submitted == len(state.comparisons()),
        "correlation ids are unique": len(state.asked) == state.submitted,
        "answers belong to their wave": all(
            set(wave.answers) <= {comparison.correlation_id for comparison in wave.comparisons} for wave in state.waves
        ),
        "at most one wave is in flight, and it is the last": flying in ([], list(state.waves[-1:])),
        "a finished batch has nothing in flight": not state.finished or state.pending == state.abandoned,
        "an unfinished batch waits for something": state.finished or bool(flying),
        "every failure is in the pool, made good or given up": statistics.total_failed
        == len(pool) + statistics.successful_retries + statistics.permanently_failed,
        "no comparison is retried more often than allowed": all(
            comparison.retry_count <= state.batch.settings.max_retry_attempts for comparison in state.comparisons()
        ),
        "an entry is in the pool once": len({entry.correlation_id for entry in pool}) == len(pool),
    }
    return [sentence for sentence, holds in sentences.items() if not holds]


def _about(state: State, sentences: str) -> str:
    counters = (
        f"submitted {state.submitted} of {state.batch.total_budget}, completed {state.completed}, "
        f"failed {state.failed}, abandoned {state.abandoned}, {state.status}"
    )
    return f"{state.batch.bos_batch_id}: not true any more: {sentences} ({counters})"
