"""What the engine's tests share: batches, judges that answer at once, the loop between them, and what must always hold.

Invariants are checked while a batch runs, so a test that runs one has checked them some dozen times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from uuid import UUID

from cj_pipeline.contracts.callback import LLMComparisonResultV1, TokenUsage
from cj_pipeline.contracts.engine_settings import EngineSettings, Pairing
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.contracts.errors import ErrorDetail
from cj_pipeline.engine.effects import Effect, Finalize, SubmitWave, Taken
from cj_pipeline.engine.engine import advance, start
from cj_pipeline.engine.intake import Delivery
from cj_pipeline.engine.invariants import check
from cj_pipeline.engine.state import Batch, Comparison, PlannedPair, State, WaveKind
from cj_pipeline.foundation.seeding import uniform

Judge = Callable[[Comparison], str | None]
"""The essay that wins; None for an error."""
Advance = Callable[[State, list[Delivery]], tuple[State, tuple[Effect, ...]]]

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
        # With hints, as the recordings have them: a trace is split into waves by the number in one.
        settings=EngineSettings.model_validate(
            {"pairing": pairing, "enable_llm_batching_metadata_hints": True, **settings}
        ),
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


def waves_in(effects: Iterable[Effect]) -> list[SubmitWave]:
    """The waves among some effects; the rest are what the callbacks were, and the end."""
    return [effect for effect in effects if isinstance(effect, SubmitWave)]


def taken_in(effects: Iterable[Effect]) -> list[Taken]:
    return [effect for effect in effects if isinstance(effect, Taken)]


def end_in(effects: Iterable[Effect]) -> list[Finalize]:
    return [effect for effect in effects if isinstance(effect, Finalize)]


def run(asked: Batch, judge: Judge, step: Advance = advance) -> State:
    """A batch to its end, one callback at a time in the order of the wave, all invariants checked as it goes.

    The counters are held by the engine itself after every callback; the whole state is walked in the middle and at the
    end of each wave, because after each callback a batch of 30 would take a second.
    """
    state, effects = start(asked)
    check(state)
    while not state.finished:
        (wave,) = waves_in(effects)
        for position, comparison in enumerate(wave.comparisons):
            state, effects = step(state, [callback(comparison, judge(comparison))])
            if position in (len(wave.comparisons) // 2, len(wave.comparisons) - 1):
                check(state)
    return state
