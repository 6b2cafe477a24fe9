"""How fast are callbacks read, and taken in by the engine?

    python -m benchmarks.callbacks

Reading: a JSONL line straight into the model, beside json.loads alone and json.loads with validation after it.
"""

from __future__ import annotations

import json
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.contracts.engine_settings import EngineSettings, Pairing
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.engine.effects import SubmitWave
from cj_pipeline.engine.engine import advance, start
from cj_pipeline.engine.state import Batch, PlannedPair
from tests.sides import ANCHORS, recorded, trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from cj_pipeline.contracts.callback import LLMComparisonResultV1

ROUNDS = 5


def rate(call: Callable[[], int]) -> float:
    """Median of how many a second, after a first round that does not count."""
    call()
    rates = []
    for _ in range(ROUNDS):
        begin = perf_counter()
        done = call()
        rates.append(done / (perf_counter() - begin))
    return median(rates)


def reading() -> list[tuple[str, float]]:
    lines = [line.raw for line in trace(ANCHORS).callbacks.events] * 50

    def each(read: Callable[[bytes], object]) -> Callable[[], int]:
        return lambda: sum(1 for line in lines if read(line) is not None)

    return [
        ("json.loads alone, nothing validated", rate(each(json.loads))),
        ("json.loads, then validation", rate(each(lambda line: CallbackEvent.model_validate(json.loads(line))))),
        ("parse_callback", rate(each(parse_callback))),
    ]


def engine(essays: int, comparisons: int) -> float:
    """Callbacks a second through `advance`, pairing and rescoring included, one callback at a time."""
    template = recorded(ANCHORS).callbacks[0]
    settings = EngineSettings(max_pairwise_comparisons=comparisons, min_comparisons_for_stability_check=comparisons + 1)
    batch = Batch("benchmark", 1, tuple(f"essay-{n:04d}" for n in range(essays)), settings, seed=1)

    def run() -> int:
        state, effects = start(batch)
        while waves := [effect for effect in effects if isinstance(effect, SubmitWave)]:
            effects = ()
            for comparison in waves[0].comparisons:
                winner = Winner.A if comparison.essay_a > comparison.essay_b else Winner.B
                answer = template.model_copy(update={"correlation_id": comparison.correlation_id, "winner": winner})
                state, more = advance(state, [answer])
                effects += more
        return state.callbacks

    return rate(run)


def ladder_plan(essays: int, waves: int) -> tuple[tuple[PlannedPair, ...], ...]:
    """Waves in which everybody meets somebody else each time; planned, so that finding pairs costs nothing."""
    names = [f"essay-{n:04d}" for n in range(essays)]
    half = essays // 2
    return tuple(
        tuple(PlannedPair(names[n], names[half + (n + wave) % half]) for n in range(half)) for wave in range(waves)
    )


def answers_of(wave: SubmitWave, template: LLMComparisonResultV1) -> list[LLMComparisonResultV1]:
    return [
        template.model_copy(update={"correlation_id": c.correlation_id, "winner": (Winner.A, Winner.B)[n % 3 == 0]})
        for n, c in enumerate(wave.comparisons)
    ]


def bookkeeping(essays: int, waves: int) -> tuple[float, float]:
    """Callbacks a second through `advance`, one call each, in the last of some waves.

    Without the callback that ends the wave, and with it: then the wave is rescored, decided on and the next one made.
    """
    template = recorded(ANCHORS).callbacks[0]
    settings = EngineSettings(
        pairing=Pairing.RECORDED,
        max_pairwise_comparisons=essays * waves,
        min_comparisons_for_stability_check=essays * waves + 1,
    )
    plan = ladder_plan(essays, waves + 1)
    items = tuple(f"essay-{n:04d}" for n in range(essays))
    state, effects = start(Batch("benchmark", 1, items, settings, seed=1, plan=plan))
    for _ in range(waves - 1):
        (wave,) = [effect for effect in effects if isinstance(effect, SubmitWave)]
        state, effects = advance(state, answers_of(wave, template))
    (wave,) = [effect for effect in effects if isinstance(effect, SubmitWave)]
    answers = answers_of(wave, template)

    def take(messages: list[LLMComparisonResultV1]) -> int:
        # From the same state every round: the first callback of a round branches off, and copies an empty map.
        open_wave = state
        for message in messages:
            open_wave, _ = advance(open_wave, [message])
        return len(messages)

    return rate(lambda: take(answers[:-1])), rate(lambda: take(answers))


def main() -> None:
    print("| reading a callback | per second |")
    print("|---|---|")
    for name, per_second in reading():
        print(f"| {name} | {per_second:,.0f} |")
    print("\n| engine | callbacks per second |")
    print("|---|---|")
    for essays, comparisons in ((24, 288), (100, 1_000)):
        print(f"| {essays} essays, {comparisons} comparisons | {engine(essays, comparisons):,.0f} |")
    print("\n| `advance`, pairs given | waves before | a callback | with rescoring, decision and next wave |")
    print("|---|---|---|---|")
    for essays, waves in ((100, 1), (1_000, 1), (5_000, 1), (5_000, 10)):
        alone, whole = bookkeeping(essays, waves)
        print(f"| {essays:,} essays, {essays // 2:,} a wave | {waves - 1} | {alone:,.0f}/s | {whole:,.0f}/s |")


if __name__ == "__main__":
    main()
