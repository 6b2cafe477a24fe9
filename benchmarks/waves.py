"""How long does it take to plan a wave, and how much weight does the near matching lose?

    python -m benchmarks.waves

Coverage: nets of normally distributed scores (SD 1.5 logits), early (everybody has met the ten nearest) and half
covered (everybody has met the nearer half, which is the hardest case for a method that looks at neighbours). The gap is
what the near matching loses against the heaviest one: of the weight, and of its nearness part alone (the rest is the
same in all). Where the blossom algorithm does not end in 30 s the gap is against the half-integral optimum, which no
matching reaches: the true one is smaller. Both methods are timed at all sizes; `chosen` says which one the engine uses.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.engine.pairing.augmenting import ALONE
from cj_pipeline.engine.pairing.counts import Counts
from cj_pipeline.engine.pairing.exact_matching import exact_matching
from cj_pipeline.engine.pairing.matching import EXACT_WORK
from cj_pipeline.engine.pairing.near_matching import near_matching
from cj_pipeline.engine.pairing.net import Net
from cj_pipeline.engine.pairing.pairing import next_pairs
from cj_pipeline.engine.pairing.resampling import resampling_pass
from cj_pipeline.engine.state import Answer, Batch, Comparison, State, Wave, WaveKind
from cj_pipeline.foundation.seeding import keyed_uuid

if TYPE_CHECKING:
    from collections.abc import Callable

    from cj_pipeline.engine.pairing.net import FloatArray, IntArray

SIZES = (24, 100, 300, 1_000, 5_000)
BLOSSOM_PATIENCE = 20_000_000  # essays times open pairs: 300 essays at their first wave, about 20 s
BOUND_UP_TO = 1_000  # essays; at 5,000 the dense assignment problem takes minutes


def seconds(call: Callable[[], object]) -> float:
    """The better of two runs."""
    runs = []
    for _ in range(2):
        begin = perf_counter()
        call()
        runs.append(perf_counter() - begin)
    return min(runs)


def net(essays: int, met: int) -> Net:
    """Everybody has met the `met` nearest essays on the scale."""
    rng = np.random.default_rng(essays)
    place = np.arange(essays)
    apart = np.abs(place[:, None] - place[None, :])
    return Net(
        essay=rng.permutation(essays),
        score=np.sort(rng.normal(0, 1.5, essays)),
        compared=np.sum(apart <= met // 2, axis=1) - 1,
        luck=rng.uniform(size=essays),
        open=apart > met // 2,
        evenness=1.0,
        closeness=0.5,
    )


def worth(planned: Net, mate: IntArray) -> tuple[float, float]:
    """(weight, nearness alone) of a matching."""
    paired = np.flatnonzero(mate != ALONE)
    sums = planned.weight(paired, mate[paired]).sum() / 2, planned.nearness(paired, mate[paired]).sum() / 2
    return float(sums[0]), float(sums[1])


def bound(planned: Net, mate: IntArray) -> tuple[float, float]:
    """What no matching of the same essays can exceed: each with whom it likes best, if all choices were one-sided."""
    everybody = np.arange(len(planned))
    nearness: FloatArray = planned.nearness(everybody[:, None], everybody[None, :])
    value = np.where(planned.open, nearness, -1e3)
    rows, columns = linear_sum_assignment(value, maximize=True)
    best = float(value[rows, columns].sum()) / 2
    weight, near = worth(planned, mate)
    return weight - near + best, best


def share(lost: float, best: float) -> str:
    return f"{100 * lost / best:.2f}"


def coverage_row(essays: int, stage: str, met: int) -> list[str]:
    planned = net(essays, met)
    pairs = int(np.count_nonzero(planned.open)) // 2
    mate = near_matching(planned)
    near = seconds(lambda: near_matching(planned))
    ours = worth(planned, mate)
    row = [f"{essays:,}", stage, f"{pairs:,}", "exact" if essays * pairs <= EXACT_WORK else "near", f"{near:.3f}"]
    if essays * pairs <= BLOSSOM_PATIENCE:
        begin = perf_counter()
        best = worth(planned, exact_matching(planned))
        row.append(f"{perf_counter() - begin:.3f}")
        sign = ""
    elif essays <= BOUND_UP_TO:
        best, sign = bound(planned, mate), "< "
        row.append("-")
    else:
        return [*row, "-", "-", "-"]
    return [*row, *(sign + share(optimum - got, optimum) for optimum, got in zip(best, ours, strict=True))]


def state(essays: int, met: int) -> State:
    """A batch in which everybody has met the nearest ones, with scores."""
    names = tuple(f"essay-{place:05d}" for place in range(essays))
    asked = tuple(
        Comparison(keyed_uuid(essays, low, high), names[low], names[high], WaveKind.COVERAGE, 0)
        for low in range(essays)
        for high in range(low + 1, min(essays, low + 1 + met // 2))
    )
    answers = {comparison.correlation_id: Answer(comparison.essay_b, None) for comparison in asked}
    settings = EngineSettings(max_pairwise_comparisons=essays * essays)
    begun = State(Batch("waves", 1, names, settings, seed=1))
    scores = dict(zip(names, np.sort(np.random.default_rng(1).normal(0, 1.5, essays)).tolist(), strict=True))
    return replace(begun, waves=(Wave(asked, answers),), submitted=len(asked), completed=len(asked), scores=scores)


def covered(essays: int) -> Counts:
    """Every pair judged once."""
    low, high = np.triu_indices(essays, 1)
    ones = np.ones(len(low), dtype=np.intp)
    everybody = np.full(essays, essays - 1)
    return Counts(everybody, np.zeros(essays, dtype=np.intp), low * essays + high, ones, ones, ones)


def table(title: str, heads: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    print(f"\n{title}")
    for row in [heads, ["-" * width for width in widths], *rows]:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def main() -> None:
    """Print the tables: matchings, whole waves from a state, resampling passes."""
    stages = [(size, *stage) for size in SIZES for stage in (("early", 10), ("half covered", size // 2))]
    heads = ["essays", "stage", "open pairs", "chosen", "near, s", "blossom, s", "gap, %", "of nearness, %"]
    table("A coverage matching", heads, [coverage_row(*stage) for stage in stages])
    rows = []
    for essays, stage, met in stages:
        if essays * met <= 500_000:  # 6 million comparisons of a half-covered net of 5,000 do not fit into a state
            begun = state(essays, met)
            took = seconds(lambda begun=begun: next_pairs(begun, WaveKind.COVERAGE))
            rows.append([f"{essays:,}", stage, f"{begun.submitted:,}", f"{took:.3f}"])
    table("A coverage wave from the state", ["essays", "stage", "comparisons before", "s"], rows)
    rows = []
    for essays in SIZES[:-1]:
        counts, luck = covered(essays), np.random.default_rng(2).uniform(size=essays)
        pairs = len(counts.pairs)
        whole = seconds(lambda counts=counts, luck=luck, room=pairs: resampling_pass(counts, room, luck))
        cut = seconds(lambda counts=counts, luck=luck, room=pairs // 10: resampling_pass(counts, room, luck))
        rows.append([f"{essays:,}", f"{pairs:,}", f"{whole:.4f}", f"{cut:.3f}"])
    table("A resampling pass", ["essays", "covered pairs", "whole, s", "cut to a tenth, s"], rows)


if __name__ == "__main__":
    main()
