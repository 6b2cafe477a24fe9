"""This module holds what parity measures of a live side: functions of a comparison and of (drawn) live sides.

Each takes a `Comparison` and a `Sample` and returns one value a draw: (d,). Position, sharpness and shifts are one
Newton step from the recorded fit: linear in live minus recorded, so nothing separates.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import expit

from cj_pipeline.bt.agreement import kendall_tau_b
from cj_pipeline.mock.model.answers import FloatArray, RealArray
from cj_pipeline.mock.model.errors import LEAST_ERRORS, CodeArray
from cj_pipeline.mock.model.measures import normal_scores
from cj_pipeline.parity.comparison import Comparison, Sample

# Above it, signs of all pairs of essays take more memory than sorting takes time.
_ALL_PAIRS = 64

# Refits are in single precision, so scores that are closer than this (logits) are equal.
_TIE = 1e-4

# Standard errors take a matrix a draw.
SE_DRAWS = 500
MOST_SE_ITEMS = 100


def agreement(case: Comparison, sample: Sample) -> FloatArray:
    """Share of equal answers to the same prompt and side."""
    recorded = case.prompts.recorded_shares
    return _share_mean(case, sample, 2 * recorded - 1) + float((1 - recorded).mean())


def agreement_drift(case: Comparison, sample: Sample) -> FloatArray:
    """Share of equal answers in the second half of the prompts, in the order of the live side, less the first half."""
    recorded = case.prompts.recorded_shares
    prompts, half = len(recorded), len(recorded) // 2
    weight = np.where(np.arange(prompts) < half, -prompts / half, prompts / (prompts - half))
    return _share_mean(case, sample, weight * (2 * recorded - 1)) + float((weight * (1 - recorded)).mean())


def winner_share(case: Comparison, sample: Sample) -> FloatArray:
    """Share of A among the prompts that both sides answered."""
    return _share_mean(case, sample, np.ones(len(case.prompts.recorded_shares)))


def rank_agreement(case: Comparison, sample: Sample) -> FloatArray:
    """Tau-b between the recorded scores and the live ones."""
    return _tau_b(case.prompts.theta, case.prompts.refit(_wins(sample))[:, :-1])


def anchor_tau(case: Comparison, sample: Sample) -> FloatArray:
    """Tau-a between the live order and the known grades; the order within a grade costs nothing, as in production."""
    graded = [index for index, item in enumerate(case.items) if item in case.grades]
    grades = -np.array([case.grades[case.items[index]] for index in graded], dtype=float)
    columns = np.ascontiguousarray(case.prompts.refit(_wins(sample))[:, graded].T)
    agreed = np.zeros(columns.shape[1])
    for item in range(len(graded) - 1):
        sign = _signs(grades[item + 1 :] - grades[item])
        agreed += (_signs(columns[item + 1 :] - columns[item]) * sign[:, None]).sum(axis=0, dtype=np.int32)
        agreed += int((sign == 0).sum())
    return np.asarray(agreed / (len(graded) * (len(graded) - 1) / 2))


def inversions(case: Comparison, sample: Sample) -> FloatArray:
    """Share of the answers on essays of different grades that prefer the worse one."""
    asked, grade = case.prompts.asked, np.array([case.grades.get(item, -1) for item in case.items])
    first, second = grade[asked.first], grade[asked.second]
    apart = (first >= 0) & (second >= 0) & (first != second)
    sign = np.where(apart, np.where(first > second, 1.0, -1.0), 0.0)
    against = _wins(sample) @ sign + asked.answers[sign < 0].sum()
    return np.asarray(against / max(asked.answers[apart].sum(), 1.0))


def zero_win(case: Comparison, sample: Sample) -> FloatArray:
    """Essays that win no answer."""
    asked, wins, n = case.prompts.asked, _wins(sample), len(case.items)
    rows, ones = np.arange(len(asked.first)), np.ones(len(asked.first))
    as_first = csr_array((ones, (rows, asked.first)), shape=(len(rows), n))
    as_second = csr_array((ones, (rows, asked.second)), shape=(len(rows), n))
    won = wins @ as_first + (asked.answers - wins) @ as_second
    compared = np.bincount(asked.first, minlength=n) + np.bincount(asked.second, minlength=n) > 0
    return np.asarray(((won == 0) & compared).sum(axis=1), dtype=float)


def position(case: Comparison, sample: Sample) -> FloatArray:
    """The live position effect, logits."""
    prompts = case.prompts
    return np.asarray(float(prompts.winner.fit.mean[-1]) + prompts.step(_wins(sample))[:, -1])


def sharpness(case: Comparison, sample: Sample) -> FloatArray:
    """How much wider than the recorded one the live scale is; 1 for equal. Limited to [0, 5]."""
    prompts = case.prompts
    fit, asked, theta = prompts.winner.fit, prompts.asked, prompts.theta
    gap = theta[asked.first] - theta[asked.second]
    chance = expit(gap + fit.mean[-1])
    slope = prompts.pull(_wins(sample), gap)
    # One pseudo-answer at a gap of the fitted spread keeps a flat scale from dividing by nothing.
    curvature = float((prompts.weights * chance * (1 - chance) * gap**2).sum()) + 0.25 * fit.spread**2
    return np.asarray(np.clip(1.0 + slope / curvature, 0.0, 5.0))


def essay_shift(case: Comparison, sample: Sample) -> FloatArray:
    """Largest shift of one essay's score, logits."""
    return np.asarray(np.abs(case.prompts.step(_wins(sample))[:, :-1]).max(axis=1))


def repeatability(case: Comparison, sample: Sample) -> FloatArray:
    """Share of equal answers when the live side is asked the same prompt again."""
    answers = case.prompts.asked.answers
    again = answers > 1
    wins, asked = _wins(sample), answers[again]
    wins = wins if again.all() else wins[:, again]
    # w (w - 1) + (n - w) (n - w - 1) of n (n - 1) pairs of answers are equal.
    of_pairs = 2 / (asked * (asked - 1)) / len(asked)
    return np.asarray(1 - (wins * (asked - wins)) @ of_pairs)


def confidence_mean(case: Comparison, sample: Sample) -> FloatArray:
    """Mean confidence, points of 5."""
    return _mean(_filled(sample.confidence))


def confidence_spread(case: Comparison, sample: Sample) -> FloatArray:
    """Standard deviation of confidence, points of 5."""
    return _deviation(_filled(sample.confidence))


def confidence_link(case: Comparison, sample: Sample) -> FloatArray:
    """Correlation between confidence and the gap between the essays (its normal scores)."""
    return _correlation(_filled(sample.confidence), normal_scores(case.live_gaps[case.live_rated])[None])


def latency_mean(case: Comparison, sample: Sample) -> FloatArray:
    """Mean latency of answers, ms."""
    return _mean(_filled(sample.latency_ms))


def latency_p95(case: Comparison, sample: Sample) -> FloatArray:
    """95th percentile of the latency of answers, ms."""
    return _quantile(sample.sorted_latency, 0.95)


def latency_p99(case: Comparison, sample: Sample) -> FloatArray:
    """99th percentile of the latency of answers, ms."""
    return _quantile(sample.sorted_latency, 0.99)


def latency_shape(case: Comparison, sample: Sample) -> FloatArray:
    """Mean distance between the two distributions of latency, in units of the recorded mean (Wasserstein)."""
    recorded = np.sort(case.recorded.latency_ms[case.recorded.answered])
    live = sample.sorted_latency
    at = (np.arange(200) + 0.5) / 200
    near = [np.minimum((at * side.shape[-1]).astype(int), side.shape[-1] - 1) for side in (recorded, live)]
    apart = live[:, near[1]]
    apart -= recorded[near[0]].astype(apart.dtype)
    return _mean(np.abs(apart, out=apart)) / max(float(recorded.mean()), 1e-9)


def latency_drift(case: Comparison, sample: Sample) -> FloatArray:
    """Mean latency of the second half of a batch over that of the first."""
    values = _filled(sample.latency_ms)
    late = places(case) >= 0.5
    if late.all() or not late.any():
        return np.ones(len(values))
    first, second = _mean(values[:, ~late]), _mean(values[:, late])
    # Latencies are whole milliseconds: a half of a millisecond more on both sides makes 0 over 0 a 1.
    return np.asarray((second + 0.5) / (first + 0.5))


def latency_link(case: Comparison, sample: Sample) -> FloatArray:
    """Correlation between latency and completion tokens (of their logarithms)."""
    tokens, latency = _filled(sample.completion_tokens), _filled(sample.latency_ms)
    return link(latency if latency.shape[1] == tokens.shape[1] else latency[:, case.live_billed], tokens)


def link(latency_ms: RealArray, tokens: RealArray) -> FloatArray:
    """Return (d,) the correlation of the logarithms of latency and tokens, each (d, n)."""
    return _correlation(np.log(latency_ms + 1), np.log(tokens + 1))


def prompt_tokens(case: Comparison, sample: Sample) -> FloatArray:
    """Mean prompt tokens of answers."""
    return _mean(_filled(sample.prompt_tokens)[:, case.priced])


def prompt_tokens_per_essay(case: Comparison, sample: Sample) -> FloatArray:
    """Largest difference of prompt tokens for one prompt, as a share of the recorded mean."""
    expected = case.expected_prompt_tokens
    if expected is None:
        return np.zeros(len(_filled(sample.prompt_tokens)))
    scale = max(float(expected.mean()), 1.0)
    apart = np.abs(_filled(sample.prompt_tokens) - expected)[:, case.priced] / scale
    return np.asarray(np.percentile(apart, 90, axis=1))


def completion_tokens(case: Comparison, sample: Sample) -> FloatArray:
    """Mean completion tokens of answers."""
    return _mean(_filled(sample.completion_tokens))


def total_tokens(case: Comparison, sample: Sample) -> FloatArray:
    """Mean tokens of answers, prompt and completion together."""
    return np.asarray(prompt_tokens(case, sample) + completion_tokens(case, sample))


def completion_spread(case: Comparison, sample: Sample) -> FloatArray:
    """Standard deviation of completion tokens over their mean."""
    values = _filled(sample.completion_tokens)
    return _deviation(values) / np.maximum(_mean(values), 1e-9)


def standard_error(case: Comparison, sample: Sample) -> FloatArray:
    """Mean standard error of the scores, logits, each at most 2 (as production displays it)."""
    prompts, n = case.prompts, len(case.items)
    points, weights, asked = prompts.refit(_wins(sample))[:SE_DRAWS], prompts.weights, prompts.asked
    chance = expit(points[:, asked.first] - points[:, asked.second] + points[:, -1:])
    pairs = csr_array(
        (np.ones(len(weights)), (np.arange(len(weights)), asked.first * n + asked.second)), shape=(len(weights), n * n)
    )
    between = np.asarray((weights * chance * (1 - chance)) @ pairs, np.float32).reshape(-1, n, n)
    between = between + between.transpose(0, 2, 1)
    matrix = -between
    # The prior is at least 1/81, so single precision is right to .1 %, and takes half the time.
    matrix[:, np.arange(n), np.arange(n)] += between.sum(axis=2) + np.float32(prompts.winner.fit.spread**-2)
    variance = np.diagonal(np.linalg.inv(matrix), axis1=1, axis2=2)
    return _mean(np.minimum(np.sqrt(variance), np.float32(2.0)))


def error_rate(case: Comparison, sample: Sample) -> FloatArray:
    """Share of calls that end in an error."""
    return np.asarray((_errors(sample) >= 0).mean(axis=1))


def error_mix(case: Comparison, sample: Sample) -> FloatArray:
    """Share of errors with other codes or reasons than recorded; fewer than 5 errors count as 5."""
    # A single error can only be all or nothing: as a plain share, faithful runs with one would set the limit at 1.
    places, codes = _errors(sample), len(case.errors.codes)
    counts = np.stack([(places == code).sum(axis=1) for code in range(codes + 1)], axis=1)
    failed = counts.sum(axis=1, keepdims=True)
    recorded = np.append(case.errors.code_counts, 0) / max(case.errors.errors, 1)
    return np.asarray(0.5 * np.abs(counts - failed * recorded).sum(axis=1) / np.maximum(failed[:, 0], LEAST_ERRORS))


def most_error_mix(case: Comparison) -> float:
    """Return the distance where every live error has a code that was not recorded."""
    failed = int((~case.live.answered).sum())
    return failed / max(failed, LEAST_ERRORS)


def error_bursts(case: Comparison, sample: Sample) -> FloatArray:
    """Share of errors that follow another error."""
    failed = _errors(sample) >= 0
    after = (failed[:, 1:] & failed[:, :-1]).sum(axis=1)
    return np.asarray(after / np.maximum(failed.sum(axis=1), 1))


def retry_success(case: Comparison, sample: Sample) -> FloatArray:
    """Share of the calls made again after an error that succeed."""
    assert sample.retries is not None  # noqa: S101
    again = _errors(sample)[:, sample.retries]
    return np.asarray((again < 0).sum(axis=1) / max(again.shape[1], 1))


def places(case: Comparison) -> FloatArray:
    """Return (n,) where in its batch each live answer lies, 0 to 1."""
    place = np.zeros(len(case.live))
    for batch in np.unique(case.live.batch):
        rows = np.flatnonzero(case.live.batch == batch)
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.asarray(place[case.live.answered])


def _tau_b(left: FloatArray, right: FloatArray) -> FloatArray:
    """(d,) tau-b of left (n,) with each row of right (d, n); 0 where one is all ties.

    Scores of essays with the same answers are equal but for rounding, which the order of essays decides: they tie.
    """
    n = len(left)
    if n > _ALL_PAIRS:
        left, right = np.round(left, 4), np.round(right, 4)
        return np.array([kendall_tau_b(left, row) for row in right])
    columns = np.ascontiguousarray(right.T)
    agreed, untied, apart = np.zeros(len(right), np.int32), np.zeros(len(right), np.int32), 0
    for item in range(n - 1):
        sign = _signs(left[item + 1 :] - left[item])
        other = _signs(columns[item + 1 :] - columns[item])
        agreed += (other * sign[:, None]).sum(axis=0, dtype=np.int32)
        untied += np.abs(other).sum(axis=0, dtype=np.int32)
        apart += int(np.abs(sign).sum())
    return np.asarray(agreed / np.maximum(np.sqrt(untied * float(apart)), 1.0))


def _signs(differences: FloatArray) -> npt.NDArray[np.int8]:
    return (differences > _TIE).astype(np.int8) - (differences < -_TIE)


def _share_mean(case: Comparison, sample: Sample, weight: FloatArray) -> FloatArray:
    """(d,) means over prompts of the live share of A times a weight, as one product."""
    return np.asarray(_wins(sample) @ (weight / case.prompts.asked.answers / len(weight)))


def _mean(values: RealArray) -> FloatArray:
    """(d,) means of the rows. Added up in double precision: equal values have that value as their mean."""
    return np.asarray(values.mean(axis=1, dtype=np.float64))


def _deviation(values: RealArray) -> FloatArray:
    """(d,) standard deviations of the rows."""
    return np.asarray(values.std(axis=1, dtype=np.float64))


def _quantile(ordered: RealArray, share: float) -> FloatArray:
    """(d,) quantiles of rows in ascending order, between two values by their distance."""
    place = share * (ordered.shape[1] - 1)
    below = int(place)
    above = min(below + 1, ordered.shape[1] - 1)
    low, high = (ordered[:, at].astype(np.float64) for at in (below, above))
    return np.asarray(low + (high - low) * (place - below))


def _correlation(left: RealArray, right: RealArray) -> FloatArray:
    """(d,) correlation of the rows; 0 where one does not vary."""
    a, b = (values - values.mean(axis=1, keepdims=True) for values in (left, right))
    products = (np.einsum("ij,ij->i", one, other) for one, other in ((a, a), (b, b), (a, b)))
    of_left, of_right, of_both = products
    size = np.sqrt(of_left * of_right)
    return np.where(size > 1e-12, of_both / np.maximum(size, 1e-12), 0.0)


def _wins(sample: Sample) -> FloatArray:
    assert sample.wins is not None  # noqa: S101  (the gate is not applicable where the part is missing)
    return sample.wins


def _errors(sample: Sample) -> CodeArray:
    assert sample.errors is not None  # noqa: S101  (the gate is not applicable where the part is missing)
    return sample.errors


def _filled(part: RealArray | None) -> RealArray:
    assert part is not None  # noqa: S101  (the gate is not applicable where the part is missing)
    return part
