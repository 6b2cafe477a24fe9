"""What the engine's tests share: batches, judges that answer at once, the loop between them, and what must always hold.

An invariant is checked after every single callback, so a test that runs a batch has checked it some hundred times.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from cj_pipeline.cj.effects import Effect, SubmitWave
from cj_pipeline.cj.engine import advance, start
from cj_pipeline.cj.state import Batch, Comparison, PlannedPair, State, WaveKind
from cj_pipeline.contracts.callback import LLMComparisonResultV1, TokenUsage
from cj_pipeline.contracts.engine_settings import EngineSettings, Pairing
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.contracts.errors import ErrorDetail
from cj_pipeline.seeding import uniform

Judge = Callable[[Comparison], str | None]
"""The essay that wins; None for an error."""
Advance = Callable[[State, list[LLMComparisonResultV1]], tuple[State, tuple[Effect, ...]]]

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)

# The LOWER5 profile of production: five essays around one grade, three passes, and never stopped for being stable
# (a floor of 61 comparisons is above the budget of 60).
LOWER5 = {
    "min_resampling_net_size": 5,
    "max_resampling_passes_for_small_net": 3,
    "max_pairwise_comparisons": 60,
    "min_comparisons_for_stability_check": 61,
}


def essays(number: int) -> tuple[str, ...]:
    return tuple(f"essay-{index:02d}" for index in range(number))


def batch(number: int, *, plan: tuple[tuple[PlannedPair, ...], ...] = (), seed: int = 7, **settings: object) -> Batch:
    pairing = Pairing.RECORDED if plan else Pairing.BALANCED
    return Batch(
        bos_batch_id="bos-1",
        cj_batch_id=19,
        items=essays(number),
        settings=EngineSettings.model_validate({"pairing": pairing, **settings}),
        seed=seed,
        plan=plan,
    )


def higher_item_wins(comparison: Comparison) -> str:
    return max(comparison.essay_a, comparison.essay_b)


def coin_decides(comparison: Comparison) -> str:
    heads = uniform("coin", str(comparison.correlation_id)) < 0.5
    return comparison.essay_a if heads else comparison.essay_b


def always_fails(comparison: Comparison) -> None:
    return None


def fails_in(share: float) -> Judge:
    """A perfect judge, a share of whose answers are errors instead."""

    def judge(comparison: Comparison) -> str | None:
        failed = uniform("failure", str(comparison.correlation_id)) < share
        return None if failed else higher_item_wins(comparison)

    return judge


def callback(comparison: Comparison, winner: str | None) -> LLMComparisonResultV1:
    """The verdict on a comparison: which essay won, or None for an error."""
    verdict: dict[str, object] = {
        "error_detail": ErrorDetail(
            error_code="TIMEOUT",
            message="no answer",
            correlation_id=comparison.correlation_id,
            timestamp=NOON,
            service="llm_provider_service",
            operation="compare",
        )
    }
    if winner is not None:
        position = Winner.A if winner == comparison.essay_a else Winner.B
        verdict = {"winner": position, "justification": "clearer", "confidence": 4.0}
    return LLMComparisonResultV1(
        request_id=str(comparison.correlation_id),
        correlation_id=comparison.correlation_id,
        provider=Provider.MOCK,
        model="mock-model",
        response_time_ms=10,
        token_usage=TokenUsage(),
        cost_estimate=0.0,
        requested_at=NOON,
        completed_at=NOON,
        request_metadata={"essay_a_id": comparison.essay_a, "essay_b_id": comparison.essay_b},
        **verdict,
    )


def orphan(number: int) -> LLMComparisonResultV1:
    """A callback for a comparison that nobody asked."""
    stranger = Comparison(UUID(int=number), "stranger-a", "stranger-b", WaveKind.COVERAGE, iteration=0)
    return callback(stranger, "stranger-a")


def broken_invariants(state: State) -> list[str]:
    """What of a batch's always-true sentences does not hold; empty when all do."""
    answered = sum(len(wave.answers) for wave in state.waves)
    flying = [wave for wave in state.waves if len(wave.answers) < len(wave.comparisons)]
    sentences = {
        "completion is at most 100 %": state.completed + state.failed <= state.submitted,
        "the budget is kept": state.submitted <= state.batch.total_budget,
        "each counted callback is one answered comparison": state.callbacks == answered,
        "submitted counts the comparisons": state.submitted == len(state.comparisons()),
        "correlation ids are unique": len(state.wave_of) == state.submitted,
        "at most one wave is in flight, and it is the last": flying in ([], list(state.waves[-1:])),
        "a finished batch has nothing in flight": not (state.finished and flying),
        "an unfinished batch waits for something": state.finished or bool(flying),
    }
    return [sentence for sentence, holds in sentences.items() if not holds]


def run(asked: Batch, judge: Judge, step: Advance = advance) -> State:
    """A batch to its end, one callback at a time in the order of the wave, all invariants checked after each."""
    state, effects = start(asked)
    assert broken_invariants(state) == []
    while not state.finished:
        (wave,) = effects
        assert isinstance(wave, SubmitWave)
        for comparison in wave.comparisons:
            state, effects = step(state, [callback(comparison, judge(comparison))])
            assert broken_invariants(state) == []
    return state
