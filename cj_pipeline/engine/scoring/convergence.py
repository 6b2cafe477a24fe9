"""This module simulates how soon a scale settles when the true scores are known. It does not use the engine's own
choice of pairs, errors or orientation.

It answers the question that comes before any batch: with so many essays, how many comparisons does a scale need?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from math import isfinite
from typing import Annotated

from pydantic import Field
from scipy.special import expit

from cj_pipeline.bt.agreement import kendall_tau_b
from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.diagnostics import SeSummary, se_summary
from cj_pipeline.bt.fit import PRODUCTION_ALPHA, fit
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.engine.facts import max_score_change
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.foundation.seeding import keyed_generator, uniform

Pair = tuple[int, int]


class UnusableTruth(CjPipelineError):
    """True scores, or a noise, that no judge can be made of."""


class CapReason(StrEnum):
    """What ended the judging."""

    STABILITY = "stability"
    ITERATIONS = "iterations"
    BUDGET = "budget"


class ConvergenceSettings(FileModel):
    """When to judge, when to look, when to stop; production's names and, where the engine has them, its defaults.

    stability_threshold: logits; a change of exactly this much is stable.
    """

    comparisons_per_iteration: Annotated[int, Field(ge=1)]
    max_iterations: Annotated[int, Field(ge=1)]
    max_pairwise_comparisons: Annotated[int, Field(ge=1)] = 120
    min_comparisons_for_stability_check: Annotated[int, Field(ge=0)] = 12
    stability_threshold: Annotated[float, Field(ge=0.0)] = 0.025


@dataclass(frozen=True, slots=True)
class Convergence:
    """Where the judging ended.

    final_scores: logits by essay, centred; cap_reason: when several hold at once, stability before budget before
    iterations; comparisons_per_iteration: as judged, so the last of a round over all pairs may be smaller;
    max_score_change: logits, in the last iteration, None when there was only one; se_summary: standard errors in
    logits as they are displayed, 2.0 at most; tau_b: final scores against true ones, 0 when either has no order.
    """

    final_scores: dict[str, float]
    stability_achieved: bool
    cap_reason: CapReason
    iterations_run: int
    total_comparisons: int
    comparisons_per_iteration: tuple[int, ...]
    max_score_change: float | None
    se_summary: SeSummary
    tau_b: float


def converge(
    true_scores: Mapping[str, float],
    settings: ConvergenceSettings,
    *,
    seed: int,
    temperature: float = 0.0,
    alpha: float = PRODUCTION_ALPHA,
) -> Convergence:
    """Judge random pairs of essays with known scores until the scale is stable or a limit is reached.

    Every pair is judged once before any is judged again; after that each iteration draws from all of them.
    true_scores: logits by essay, two essays or more; temperature: 0 for production's judge, who never errs and tosses
    a coin between equals; above it P(a beats b) = sigmoid((true_a - true_b) / temperature).
    alpha: of the estimator's prior. The order of the mapping does not matter.
    Raises UnusableTruth; NotConverged where scores cannot be found.
    """
    _require_usable(true_scores, temperature)
    essays = sorted(true_scores)
    truth = [true_scores[essay] for essay in essays]
    every_pair = list(combinations(range(len(essays)), 2))
    unseen = every_pair
    won: list[Pair] = []
    sizes: list[int] = []
    scores: dict[str, float] | None = None
    reason: CapReason | None = None
    change: float | None = None
    while reason is None:
        wave = _drawn(unseen or every_pair, len(sizes), settings, seed, settings.max_pairwise_comparisons - len(won))
        taken = set(wave)
        unseen = [pair for pair in unseen if pair not in taken]
        won += [_outcome(pair, truth, temperature, seed, len(won) + place) for place, pair in enumerate(wave)]
        sizes.append(len(wave))
        theta = fit(_comparisons(won, len(essays)), alpha=alpha, uncertainty="skip").theta.tolist()
        rescored = dict(zip(essays, theta, strict=True))
        change = max_score_change(scores, rescored)
        scores = rescored
        reason = _cap_reason(settings, len(won), len(sizes), change)
    comparisons = _comparisons(won, len(essays))
    final = fit(comparisons, alpha=alpha)
    return Convergence(
        final_scores=dict(zip(essays, final.theta.tolist(), strict=True)),
        stability_achieved=reason is CapReason.STABILITY,
        cap_reason=reason,
        iterations_run=len(sizes),
        total_comparisons=len(won),
        comparisons_per_iteration=tuple(sizes),
        max_score_change=change,
        se_summary=se_summary(final.standard_error, comparisons),
        tau_b=kendall_tau_b(final.theta, truth),
    )


def _require_usable(true_scores: Mapping[str, float], temperature: float) -> None:
    if len(true_scores) < 2:
        raise UnusableTruth(f"{len(true_scores)} essay(s) with a true score make no pair; give at least two.")
    endless = sorted(essay for essay, score in true_scores.items() if not isfinite(score))
    if endless:
        raise UnusableTruth(f"the true score of '{endless[0]}' is not finite; give every essay a number in logits.")
    if not (isfinite(temperature) and temperature >= 0):
        raise UnusableTruth(f"temperature {temperature}: 0 for a judge without noise, or a finite number above it.")


def _drawn(candidates: list[Pair], iteration: int, settings: ConvergenceSettings, seed: int, left: int) -> list[Pair]:
    """Return the pairs of one iteration, each at most once: as many as asked, left in the budget, and to be had."""
    size = min(settings.comparisons_per_iteration, left, len(candidates))
    order = keyed_generator("harness", seed, "pairs", iteration).permutation(len(candidates))
    return [candidates[place] for place in order[:size].tolist()]


def _outcome(pair: Pair, truth: list[float], temperature: float, seed: int, number: int) -> Pair:
    """Return (winner, loser) of one comparison; number: of the comparison, so that each has a coin of its own."""
    first, second = pair
    difference = truth[first] - truth[second]
    if temperature > 0:
        chance = float(expit(difference / temperature))
    else:
        chance = 0.5 if difference == 0 else float(difference > 0)
    return pair if uniform("harness", seed, "coin", number) < chance else (second, first)


def _comparisons(won: list[Pair], n_essays: int) -> Comparisons:
    return Comparisons([winner for winner, _ in won], [loser for _, loser in won], n_essays)


def _cap_reason(settings: ConvergenceSettings, total: int, iterations: int, change: float | None) -> CapReason | None:
    """Return why to stop now; None to go on."""
    settled = change is not None and change <= settings.stability_threshold
    if settled and total >= settings.min_comparisons_for_stability_check:
        return CapReason.STABILITY
    if total >= settings.max_pairwise_comparisons:
        return CapReason.BUDGET
    return CapReason.ITERATIONS if iterations >= settings.max_iterations else None
