"""How far two faithful runs lie apart: what a difference has to beat before it means anything.

Here: re-runs of the recorded judge, and the quantiles that gates take from them. Not here: the gates.

A faithful re-run asks the recorded comparisons again of a judge with the recorded scores (a parametric bootstrap:
P(A) = sigmoid(theta_a - theta_b)), and is fitted like any run. No number in here is typed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cj_pipeline.bt.agreement import kendall_tau_b
from cj_pipeline.bt.replicates import fit_replicates
from cj_pipeline.bt.simulate import simulate
from cj_pipeline.foundation.seeding import keyed_generator
from cj_pipeline.runs.record import RunRecord
from cj_pipeline.traces.scenario import Scenario

RERUNS = 400
FALSE_ALARM = 0.01
"""Share of faithful re-runs that a gate taken from here turns away."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """What faithful re-runs look like, each compared with the recorded run.

    tau_b_low, agreement_low: their 1 % quantiles; tau_b_mean, agreement_mean: what to expect;
    inversions_high: the 99 % quantile of the number of inverted pairs (None without two different grades).
    """

    reruns: int
    tau_b_low: float
    tau_b_mean: float
    agreement_low: float
    agreement_mean: float
    inversions_high: float | None


def noise_floor(scenario: Scenario, recorded: RunRecord, reruns: int = RERUNS) -> NoiseFloor:
    """Estimate the floor from a recorded run with at least one success; deterministic for a scenario and a trace."""
    essays = [row.essay_id for row in recorded.document.fit.essays]
    theta = np.array([row.theta for row in recorded.document.fit.essays])
    index = {essay: position for position, essay in enumerate(essays)}
    judged = [callback for callback in recorded.callbacks if callback.succeeded]
    first = np.array([index[callback.essay_ids()[0]] for callback in judged])
    second = np.array([index[callback.essay_ids()[1]] for callback in judged])
    rng = keyed_generator("noise floor", scenario.scenario_id, recorded.document.judge_sha256)
    first_won = np.array([simulate(theta, first, second, rng) for _ in range(reruns)])
    refits = fit_replicates(first, second, first_won, len(essays), alpha=scenario.engine.bt_alpha)
    tau_b = np.array([kendall_tau_b(theta, refit) for refit in refits])
    recorded_won = np.array([callback.winning_essay() == callback.essay_ids()[0] for callback in judged])
    agreement = pair_agreement_share(first, second, recorded_won, first_won)
    return NoiseFloor(
        reruns=reruns,
        tau_b_low=_quantile(tau_b, FALSE_ALARM),
        tau_b_mean=float(tau_b.mean()),
        agreement_low=_quantile(agreement, FALSE_ALARM),
        agreement_mean=float(agreement.mean()),
        inversions_high=_inversions_high(scenario, essays, first, second, first_won),
    )


def pair_agreement_share(
    first: npt.NDArray[np.intp],
    second: npt.NDArray[np.intp],
    one: npt.NDArray[np.bool_],
    others: npt.NDArray[np.bool_],
) -> FloatArray:
    """(B,) share of unordered pairs with the same majority winner in `one` (m,) and in each row of `others` (B, m).

    A pair that is split evenly on a side counts half: it agrees with either.
    """
    low, high = np.minimum(first, second), np.maximum(first, second)
    pairs, of_row = np.unique(np.stack([low, high]), axis=1, return_inverse=True)
    of_row = of_row.reshape(-1)
    lower_is_first = first == low
    signed_one = np.where(one == lower_is_first, 1.0, -1.0)
    signed_others = np.where(others == lower_is_first, 1.0, -1.0)
    membership = np.zeros((len(first), pairs.shape[1]))
    membership[np.arange(len(first)), of_row] = 1.0
    majority_one = np.sign(signed_one @ membership)
    majority_others = np.sign(signed_others @ membership)
    product = majority_one * majority_others
    share: FloatArray = np.where(product == 0, 0.5, (product > 0).astype(float)).mean(axis=1)
    return share


def _inversions_high(
    scenario: Scenario,
    essays: list[str],
    first: npt.NDArray[np.intp],
    second: npt.NDArray[np.intp],
    first_won: npt.NDArray[np.bool_],
) -> float | None:
    """The 99 % quantile over re-runs of how many graded pairs the worse grade won at least once."""
    scale = {grade: position for position, grade in enumerate(scenario.net.grade_scale or ())}
    grade_of = {item.id: scale[item.grade] for item in scenario.net.items if item.grade is not None}
    if len(set(grade_of.values())) < 2:
        return None
    grade = np.array([grade_of.get(essay, -1) for essay in essays])
    graded = (grade[first] >= 0) & (grade[second] >= 0)
    first_is_worse = graded & (grade[first] > grade[second])
    second_is_worse = graded & (grade[second] > grade[first])
    upset = (first_won & first_is_worse) | (~first_won & second_is_worse)
    pair = np.minimum(first, second) * len(essays) + np.maximum(first, second)
    counts = np.array([len(np.unique(pair[row])) for row in upset], dtype=float)
    return _quantile(counts, 1 - FALSE_ALARM)


def _quantile(values: FloatArray, share: float) -> float:
    # An observed value, not one between two: a gate of .83 between possible taus of .80 and .87 would only look exact.
    if share < 0.5:
        return float(np.quantile(values, share, method="lower"))
    return float(np.quantile(values, share, method="higher"))
