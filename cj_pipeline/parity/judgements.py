"""Checks on the verdicts: does the mock prefer what the real judge preferred?

Shares alone cannot tell: a coin with the right bias passes them every time. So pairs, ranks and known grades are held
against what faithful re-runs of the recorded judge would give (noise_floor.py).
"""

from __future__ import annotations

from cj_pipeline.bt.agreement import kendall_tau_b
from cj_pipeline.parity.alignment import Alignment, align
from cj_pipeline.parity.check import Case, Limits, Outcome, check, everywhere, needs_grades
from cj_pipeline.parity.evidence import difference_of_means, difference_of_shares
from cj_pipeline.parity.noise_floor import FALSE_ALARM
from cj_pipeline.parity.samples import Callbacks, FloatArray, a_wins, confidences, mean, share, within
from cj_pipeline.runs.record import RunRecord
from cj_pipeline.traces.scenario import Profile

GROUP = "judgements"

# A coin reaches .45 in 2.2 % of runs over 12 essays and 66 pairs; with fewer essays the quantile of faithful re-runs
# stands alone.
LEAST_TAU_AT_12 = 0.45


@check(
    "winner_share",
    group=GROUP,
    floors={
        Profile.GENERIC: {"at_least_a": 0.90, "difference": 0.10},
        Profile.ENG5_ANCHOR: {"difference": 0.20},
        Profile.ENG5_LOWER5: {"difference": 0.30},
    },
)
def winner_share(case: Case, limits: Limits) -> Outcome:
    """Does `Essay A` win equally often?"""
    recorded, live = a_wins(case.recorded.callbacks), a_wins(case.live.pooled_callbacks)
    shares = share(*recorded), share(*live)
    least = limits.get("at_least_a", 0.0)
    evidence = difference_of_shares(recorded, live, limits["difference"]) if recorded[1] and live[1] else None
    return Outcome(
        passed=within(shares[1] - shares[0], limits["difference"]) and shares[1] >= least,
        recorded=shares[0],
        live=shares[1],
        value=shares[1] - shares[0],
        unit="share",
        tolerance=f"+-{limits['difference']:g}" + (f", live at least {least:g}" if least else ""),
        sentence=f"A won {recorded[0]} of {recorded[1]} recorded, {live[0]} of {live[1]} live",
        evidence=evidence,
    )


@check("pair_agreement", group=GROUP)
def pair_agreement(case: Case, limits: Limits) -> Outcome:
    """Does the same essay win a pair on both sides, wherever it was shown?"""
    agreement = _pair_agreement(case.recorded.callbacks, case.live.callbacks)
    if agreement is None:
        return Outcome(
            passed=False, tolerance="some pair judged on both sides", sentence="no pair was judged on both sides"
        )
    least = case.noise.agreement_low
    return Outcome(
        passed=agreement >= least,
        live=agreement,
        value=agreement,
        unit="share of pairs",
        tolerance=f"at least {least:.3g}, the {FALSE_ALARM:.0%} quantile of {case.noise.reruns} faithful re-runs",
        sentence=f"{agreement:.1%} of the pairs have the same winner; "
        f"faithful re-runs: {case.noise.agreement_mean:.1%}",
    )


@check("rank_agreement", group=GROUP)
def rank_agreement(case: Case, limits: Limits) -> Outcome:
    """Do both sides put the essays in the same order?"""
    recorded = {row.essay_id: row.theta for row in case.recorded.document.fit.essays}
    live = {row.essay_id: row.theta for row in case.live.document.fit.essays}
    tau = kendall_tau_b(list(recorded.values()), [live.get(essay, 0.0) for essay in recorded])
    least = max(case.noise.tau_b_low, LEAST_TAU_AT_12) if len(recorded) >= 12 else case.noise.tau_b_low
    return Outcome(
        passed=tau >= least,
        live=tau,
        value=tau,
        unit="tau-b",
        tolerance=f"at least {least:.3g}, the {FALSE_ALARM:.0%} quantile of {case.noise.reruns} faithful re-runs",
        sentence=f"tau-b between the two fits is {tau:.3f}; faithful re-runs: {case.noise.tau_b_mean:.3f}",
    )


@check("anchor_tau", group=GROUP, floors=everywhere(difference=0.10, at_least_tau=0.0), not_applicable=needs_grades)
def anchor_tau(case: Case, limits: Limits) -> Outcome:
    """Do both fits agree with the known grades equally well?"""
    recorded, live = _alignment(case, case.recorded), _alignment(case, case.live)
    return Outcome(
        passed=within(live.tau_a - recorded.tau_a, limits["difference"]) and live.tau_a >= limits["at_least_tau"],
        recorded=recorded.tau_a,
        live=live.tau_a,
        value=live.tau_a - recorded.tau_a,
        unit="tau-a",
        tolerance=f"+-{limits['difference']:g}, live at least {limits['at_least_tau']:g}",
        sentence=f"tau-a against the grades: recorded {recorded.tau_a:.3f}, live {live.tau_a:.3f}",
    )


@check("inversions", group=GROUP, not_applicable=needs_grades)
def inversions(case: Case, limits: Limits) -> Outcome:
    """Does the worse grade win no more pairs than chance explains?"""
    recorded, live = _alignment(case, case.recorded), _alignment(case, case.live)
    most = case.noise.inversions_high if case.noise.inversions_high is not None else len(recorded.inversions)
    return Outcome(
        passed=len(live.inversions) <= most,
        recorded=len(recorded.inversions),
        live=len(live.inversions),
        value=len(live.inversions),
        unit="pairs",
        tolerance=f"at most {most:g}, the {1 - FALSE_ALARM:.0%} quantile of {case.noise.reruns} faithful re-runs",
        sentence=f"{len(recorded.inversions)} direct inversions recorded, {len(live.inversions)} live",
        details=tuple(f"{label(case, pair.lower)} beat {label(case, pair.higher)}" for pair in live.inversions),
    )


@check("zero_win", group=GROUP, floors=everywhere(difference=1), not_applicable=needs_grades)
def zero_win(case: Case, limits: Limits) -> Outcome:
    """Are there equally many graded essays that never win?"""
    recorded, live = _alignment(case, case.recorded), _alignment(case, case.live)
    difference = len(live.zero_win) - len(recorded.zero_win)
    return Outcome(
        passed=abs(difference) <= limits["difference"],
        recorded=len(recorded.zero_win),
        live=len(live.zero_win),
        value=difference,
        unit="essays",
        tolerance=f"+-{limits['difference']:g}",
        sentence=f"{len(recorded.zero_win)} winless recorded, {len(live.zero_win)} live",
        details=tuple(label(case, essay) for essay in live.zero_win),
    )


@check("confidence", group=GROUP, floors=everywhere(mean=0.5, spread=0.5))
def confidence(case: Case, limits: Limits) -> Outcome:
    """Is the judge equally sure of itself, on the wire's scale of 1 to 5?"""
    recorded, live = confidences(case.recorded.callbacks), confidences(case.live.pooled_callbacks)
    difference = mean(live) - mean(recorded)
    spread = _spread(live) - _spread(recorded)
    return Outcome(
        passed=within(difference, limits["mean"]) and within(spread, limits["spread"]),
        recorded=mean(recorded),
        live=mean(live),
        value=difference,
        unit="points of 5",
        tolerance=f"mean +-{limits['mean']:g}, standard deviation +-{limits['spread']:g}",
        sentence=f"recorded {mean(recorded):.2f} (sd {_spread(recorded):.2f}), "
        f"live {mean(live):.2f} (sd {_spread(live):.2f})",
        evidence=difference_of_means(recorded, live, (-limits["mean"], limits["mean"])),
    )


CHECKS = (winner_share, pair_agreement, rank_agreement, anchor_tau, inversions, zero_win, confidence)


def label(case: Case, essay_id: str) -> str:
    """The name people use for an essay."""
    return next((item.label for item in case.scenario.net.items if item.id == essay_id), essay_id)


def _alignment(case: Case, run: RunRecord) -> Alignment:
    grades = {item.id: item.grade for item in case.scenario.net.items if item.grade is not None}
    return align(run.document.fit, run.callbacks, grades, case.scenario.net.grade_scale or ())


def _pair_agreement(recorded: Callbacks, live: Callbacks) -> float | None:
    """Share of the pairs judged on both sides whose majority winner is the same; None when there is no such pair."""
    sides = [_majorities(recorded), _majorities(live)]
    common = sorted(sides[0].keys() & sides[1].keys())
    if not common:
        return None
    agreed = [sides[0][pair] * sides[1][pair] for pair in common]
    # An evenly split pair agrees with either winner, so it counts half; as in noise_floor.pair_agreement_share.
    return sum(0.5 if product == 0 else float(product > 0) for product in agreed) / len(agreed)


def _majorities(callbacks: Callbacks) -> dict[tuple[str, str], int]:
    """Per unordered pair (ids sorted): wins of the first essay minus wins of the second."""
    balance: dict[tuple[str, str], int] = {}
    for callback in callbacks:
        winner = callback.winning_essay()
        if winner is not None:
            low, high = sorted(callback.essay_ids())
            balance[low, high] = balance.get((low, high), 0) + (1 if winner == low else -1)
    return balance


def _spread(values: FloatArray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
