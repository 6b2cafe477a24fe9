"""How long do scores and standard errors take, ours beside choix (I-LSR, production's) and evalica (Rust)?

    python -m benchmarks.bt_fit

Medians; the first call of everything is left out, and so is the conversion of the data to what each library takes.
choix and ours/production share one maximum (alpha 0.01), evalica and ours/mle another, so they are compared in pairs.
"""

from __future__ import annotations

from functools import partial
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import choix
import evalica
import numpy as np

from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.fit import fit
from cj_pipeline.bt.standard_errors import standard_errors
from tests.bt.production import production_standard_errors
from tests.bt.simulate import simulate

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = [(12, 66), (200, 4_000), (2_000, 40_000)]
SECONDS_EACH = 2.0  # then no further run is started; at least 2 runs, at most 101


def seconds(call: Callable[[], object]) -> float:
    """Median run time after a first call that does not count."""
    call()
    runs: list[float] = []
    while len(runs) < 2 or (sum(runs) < SECONDS_EACH and len(runs) < 101):
        start = perf_counter()
        call()
        runs.append(perf_counter() - start)
    return median(runs)


def net(n_items: int, n_rows: int) -> Comparisons:
    """Random pairs, and one round in which everybody beats the next, so that the mle exists."""
    rng = np.random.default_rng(n_items)
    ring = np.arange(n_items)
    first = rng.integers(0, n_items, n_rows - n_items)
    second = (first + rng.integers(1, n_items, n_rows - n_items)) % n_items
    won = simulate(rng.normal(0, 1, n_items), first, second, rng)
    return Comparisons(
        np.concatenate((np.where(won, first, second), ring)),
        np.concatenate((np.where(won, second, first), np.roll(ring, -1))),
        n_items,
    )


def table(title: str, heads: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    print(f"\n{title}")
    for row in [heads, ["-" * width for width in widths], *rows]:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def milliseconds(value: float) -> str:
    return f"{value * 1e3:.3g}"


def fits() -> None:
    rows = []
    for n_items, n_rows in SIZES:
        data = net(n_items, n_rows)
        pairs = list(zip(data.winners.tolist(), data.losers.tolist(), strict=True))
        winners, losers = ([str(item) for item in side] for side in (data.winners, data.losers))
        firsts = [evalica.Winner.X] * n_rows
        by_choix = partial(choix.ilsr_pairwise, n_items, pairs, alpha=0.01)
        by_evalica = partial(evalica.bradley_terry, winners, losers, firsts, tolerance=1e-9, limit=1_000_000)
        by_us = partial(fit, data, uncertainty="skip")
        by_us_mle = partial(fit, data, estimator="mle", uncertainty="skip")
        production, theirs = seconds(by_us), seconds(by_choix)
        mle, rust = seconds(by_us_mle), seconds(by_evalica)
        with_errors = seconds(partial(fit, data))
        apart = np.abs(fit(data, centring="all").theta - (by_choix() - np.mean(by_choix()))).max()
        shown = [milliseconds(value) for value in (production, theirs, mle, rust, with_errors)]
        ratios = [f"{theirs / production:.1f}x", f"{rust / mle:.1f}x"]
        rows.append(
            [f"{n_items:,}", f"{n_rows:,}", *shown[:2], ratios[0], f"{apart:.0e}", *shown[2:4], ratios[1], shown[4]]
        )
    heads = ["items", "rows", "production", "choix", "ratio", "apart by", "mle", "evalica", "ratio", "production + SE"]
    table("Fit, ms (apart by: largest difference between ours and choix, logits)", heads, rows)


def errors() -> None:
    rows = []
    for n_items, n_rows in SIZES[1:]:
        data = net(n_items, n_rows)
        theta = fit(data, uncertainty="skip").theta
        theirs = seconds(partial(production_standard_errors, theta, data, reference=n_items - 1))
        ours = seconds(partial(standard_errors, theta, data, reference=n_items - 1))
        centred = seconds(partial(standard_errors, theta, data))
        shown = [milliseconds(value) for value in (theirs, ours, centred)]
        rows.append([f"{n_items:,}", f"{n_rows:,}", *shown, f"{theirs / ours:.0f}x"])
    table("All standard errors, ms", ["items", "rows", "production formula", "reference", "centred", "ratio"], rows)


def main() -> None:
    """Print the tables: fits, standard errors."""
    fits()
    errors()


if __name__ == "__main__":
    main()
