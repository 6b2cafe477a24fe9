"""This module holds `cj-pipeline bt converge`: how many comparisons a scale of so many essays needs."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

import click

from cj_pipeline.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from cj_pipeline.engine.scoring.convergence import Convergence


@click.command("converge")
@click.option("--essays", type=click.IntRange(2, 2000), default=24, show_default=True, help="Essays in the net.")
@click.option("--spread", type=float, default=1.5, show_default=True, help="SD of the true scores, logits.")
@click.option("--temperature", type=float, default=1.0, show_default=True, help="Noise of the judge; 0: never errs.")
@click.option(
    "--budget",
    "budgets",
    type=click.IntRange(1),
    multiple=True,
    help="Comparisons at most; repeat to compare. Default: 5, 10 and 20 an essay.",
)
@click.option("--wave", type=click.IntRange(1), help="Comparisons between two scorings. Default: half the essays.")
@click.option(
    "--floor", type=click.IntRange(0), default=12, show_default=True, help="Comparisons before it may be stable."
)
@click.option(
    "--stability", type=float, default=0.025, show_default=True, help="Largest change that is stable, logits."
)
@click.option("--seeds", type=click.IntRange(1, 1000), default=10, show_default=True, help="Runs a budget.")
@json_option
def converge_command(
    essays: int,
    spread: float,
    temperature: float,
    budgets: tuple[int, ...],
    wave: int | None,
    floor: int,
    stability: float,
    seeds: int,
    as_json: bool,
) -> None:
    """Judge essays with known scores until the scale is stable or the budget is spent.

    No recording and no provider: random pairs, judged from true scores that are normally distributed. tau-b says how
    much of the true order the scale found.
    """
    from scipy.stats import norm

    from cj_pipeline.engine.scoring.convergence import ConvergenceSettings, converge

    truth = {f"essay-{place:04d}": spread * float(norm.ppf((place + 0.5) / essays)) for place in range(essays)}
    rows = []
    for budget in budgets or (5 * essays, 10 * essays, 20 * essays):
        settings = ConvergenceSettings(
            comparisons_per_iteration=wave or max(1, essays // 2),
            max_iterations=budget,
            max_pairwise_comparisons=budget,
            min_comparisons_for_stability_check=floor,
            stability_threshold=stability,
        )
        rows.append(
            _row(budget, [converge(truth, settings, seed=seed, temperature=temperature) for seed in range(seeds)])
        )
    if as_json:
        print_json({"essays": essays, "spread": spread, "temperature": temperature, "seeds": seeds, "budgets": rows})
        return
    print_table(
        f"{essays} essays, {seeds} seeds: medians",
        ("budget", "comparisons", "ended by", "tau-b", "lowest tau-b", "mean SE (logits)"),
        [list(row.values()) for row in rows],
    )


def _row(budget: int, runs: list[Convergence]) -> dict[str, object]:
    ends = Counter(run.cap_reason.value for run in runs)
    return {
        "budget": budget,
        "comparisons": median(run.total_comparisons for run in runs),
        "ended_by": ", ".join(f"{reason} {times}" for reason, times in sorted(ends.items())),
        "tau_b": round(median(run.tau_b for run in runs), 3),
        "lowest_tau_b": round(min(run.tau_b for run in runs), 3),
        "mean_se": round(median(run.se_summary.mean_se for run in runs), 3),
    }
