"""How many comparisons does the embedded stack judge in a second, engine included?

    python -m benchmarks.embedded_stack

Virtual time, one process, one core.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter

from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.scenario_run import run_live
from cj_pipeline.traces.scenario import Repeats
from tests.sides import ANCHORS, trace

COMPARISONS = 3_000
ROUNDS = 3


def stack_seconds() -> tuple[float, int]:
    """Seconds and comparisons of the anchor scenario with repeats enough to fill them."""
    found = trace(ANCHORS)
    repeats = Repeats(batches=COMPARISONS // 66, comparisons=66)
    live = found.scenario.live.model_copy(update={"repeats": repeats, "callback_budget_s": 100_000.0})
    scenario = found.scenario.model_copy(update={"live": live})
    mode = load_mode(scenario.mode)
    events = [line.event for line in found.callbacks.events]
    start = perf_counter()
    record = run_live(scenario, events, mode)
    return perf_counter() - start, len(record.pooled_callbacks)


def main() -> None:
    stack_seconds()
    rates = [comparisons / seconds for seconds, comparisons in (stack_seconds() for _ in range(ROUNDS))]
    print(f"{median(rates):,.0f} comparisons a second on the embedded stack")


if __name__ == "__main__":
    main()
