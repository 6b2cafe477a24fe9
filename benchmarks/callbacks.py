"""How fast are callbacks read, and taken in by the engine?

    python -m benchmarks.callbacks

Reading: a JSONL line straight into the model, beside json.loads alone and json.loads with validation after it.
"""

from __future__ import annotations

import json
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from cj_pipeline.cj.effects import SubmitWave
from cj_pipeline.cj.engine import advance, start
from cj_pipeline.cj.state import Batch
from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.contracts.enums import Winner
from tests.sides import ANCHORS, recorded, trace

if TYPE_CHECKING:
    from collections.abc import Callable

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


def main() -> None:
    print("| reading a callback | per second |")
    print("|---|---|")
    for name, per_second in reading():
        print(f"| {name} | {per_second:,.0f} |")
    print("\n| engine | callbacks per second |")
    print("|---|---|")
    for essays, comparisons in ((24, 288), (100, 1_000)):
        print(f"| {essays} essays, {comparisons} comparisons | {engine(essays, comparisons):,.0f} |")


if __name__ == "__main__":
    main()
