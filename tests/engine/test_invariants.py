"""Each sentence that is always true of a batch is noticed when it is not."""

from __future__ import annotations

import re
from dataclasses import replace
from inspect import getsource

import pytest

from cj_pipeline.engine.engine import advance, start
from cj_pipeline.engine.invariants import BrokenInvariant, broken, check, check_counters
from cj_pipeline.engine.state import Answer, BatchStatus, FailedComparison, PoolStatistics, RetryPool, State
from tests.engine.batches import batch, callback, waves_in


def half_answered() -> State:
    """Four essays, two comparisons in flight, one of them answered."""
    state, effects = start(batch(4))
    first = waves_in(effects)[0].comparisons[0]
    return advance(state, [callback(first, first.essay_a)])[0]


def with_first_wave(state: State, **changes: object) -> State:
    return replace(state, waves=(replace(state.waves[0], **changes), *state.waves[1:]))


GOOD = half_answered()
ANSWERED, OPEN = GOOD.comparisons()
ENTRY = FailedComparison(OPEN.correlation_id, OPEN.essay_a, OPEN.essay_b, OPEN.kind, "TIMEOUT")

BREACHES = {
    "completion is at most 100 %": replace(GOOD, completed=3),
    "the budget is kept": replace(GOOD, batch=replace(GOOD.batch, max_pairs_requested=1)),
    "each counted callback is one answered comparison": replace(GOOD, failed=1),
    "completed and failed are what the answers say": replace(GOOD, completed=0, failed=1),
    "submitted counts the comparisons": replace(GOOD, submitted=3),
    "correlation ids are unique": replace(GOOD, asked={ANSWERED.correlation_id: ANSWERED}),
    "answers belong to their wave": with_first_wave(GOOD, comparisons=(OPEN, OPEN)),
    "at most one wave is in flight, and it is the last": replace(GOOD, waves=(*GOOD.waves, *GOOD.waves)),
    "a finished batch has nothing in flight": replace(GOOD, status=BatchStatus.COMPLETED),
    "an unfinished batch waits for something": with_first_wave(
        GOOD, answers={c.correlation_id: Answer(c.essay_a, None) for c in (ANSWERED, OPEN)}
    ),
    "every failure is in the pool, made good or given up": replace(
        GOOD, pool=replace(GOOD.pool, statistics=PoolStatistics(total_failed=1))
    ),
    "no comparison is retried more often than allowed": with_first_wave(
        GOOD, comparisons=(ANSWERED, replace(OPEN, retry_count=4))
    ),
    "an entry is in the pool once": replace(GOOD, pool=RetryPool(entries=(ENTRY, ENTRY))),
}


def test_every_sentence_has_a_breach() -> None:
    written = re.findall(r'^ +"([^"]+)":', getsource(broken), flags=re.MULTILINE)
    assert len(written) == 13
    assert set(BREACHES) == set(written)


def test_nothing_is_broken_in_a_batch_under_way() -> None:
    assert broken(GOOD) == []
    check(GOOD)
    check_counters(GOOD)


@pytest.mark.parametrize("sentence", BREACHES)
def test_a_breach_is_named(sentence: str) -> None:
    assert sentence in broken(BREACHES[sentence])
    with pytest.raises(BrokenInvariant, match=r"bos-1: not true any more: .*\(submitted \d of \d+, completed"):
        check(BREACHES[sentence])


@pytest.mark.parametrize(
    "state",
    [
        BREACHES["completion is at most 100 %"],
        BREACHES["the budget is kept"],
        BREACHES["a finished batch has nothing in flight"],
        replace(GOOD, completed=2),
    ],
    ids=["above 100 %", "above the budget", "finished in flight", "waits for nothing"],
)
def test_the_counters_alone_show_what_must_never_be_stored(state: State) -> None:
    with pytest.raises(BrokenInvariant):
        check_counters(state)
