"""How long does it take to plan a wave, and how much weight does the matching in candidates lose?

    python -m benchmarks.waves

Coverage: nets of normally distributed scores (SD 1.5 logits), early (everybody has met the ten nearest) and half
covered (everybody has met the nearer half, which is the hardest case for a method that looks at neighbours). The gap is
what the near matching loses of the weight of the exact one, where that ends in a few seconds.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.engine.pairing.counts import Counts
from cj_pipeline.engine.pairing.matching import EXACT_PAIRS, best_matching, exact_matching, near_matching
from cj_pipeline.engine.pairing.net import Net
from cj_pipeline.engine.pairing.pairing import next_pairs
from cj_pipeline.engine.pairing.resampling import resampling_pass
from cj_pipeline.engine.state import Answer, Batch, Comparison, State, Wave, WaveKind
from cj_pipeline.foundation.seeding import keyed_uuid

if TYPE_CHECKING:
    from collections.abc import Callable


SIZES = (24, 100, 300, 1_000, 5_000)
EXACT_UP_TO = 130_000  # open pairs: 512 essays at their first wave, about 1 s; 1,000 essays would take 12 s


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


def coverage_row(essays: int, stage: str, met: int) -> list[str]:
    planned = net(essays, met)
    open_pairs = int(np.count_nonzero(planned.open)) // 2
    chosen = "exact" if open_pairs <= EXACT_PAIRS else "near"
    row = [f"{essays:,}", stage, f"{open_pairs:,}", chosen, f"{seconds(lambda: best_matching(planned)):.3f}"]
    if open_pairs > EXACT_UP_TO:
        return [*row, "-", "-"]
    best, near = (planned.weight(*pairs.T).sum() for pairs in (exact_matching(planned), near_matching(planned)))
    return [*row, f"{seconds(lambda: exact_matching(planned)):.3f}", f"{100 * (best - near) / best:.3f}"]


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
    heads = ["essays", "stage", "open pairs", "chosen", "s", "exact, s", "near loses, %"]
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
