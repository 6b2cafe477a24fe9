"""This module holds a run against known grades: order, inversions, and how sure one may be of either.

There are two kinds of uncertainty. An interval is about the judge: which tau its own scale may have, by the
posterior of the model that the mock and parity draw from. A repeat is about the run: what the same pairs would give,
asked again of a judge who is as the fit says (a parametric bootstrap). A target inside the interval is neither met nor
missed by this run alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from cj_pipeline.bt.agreement import kendall_tau_b, without_rounding_error
from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.fit import fit
from cj_pipeline.bt.judgements import Judgements, fit_judgements
from cj_pipeline.bt.newton import NotConverged
from cj_pipeline.bt.pairs import FloatArray, IntArray
from cj_pipeline.bt.posterior import posterior
from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.eng5.alignment.case import AlignmentCase, has_order
from cj_pipeline.foundation.seeding import keyed_generator
from cj_pipeline.parity.alignment import AlignedAnchor, align
from cj_pipeline.runs.record import bt_fit_of

REPEATS = 200
"""Of a run, each fitted again: a third of a second for twelve anchors."""

DRAWS = 400
"""Of the judge's own scale."""

AB_BASELINE = 2
"""Direct inversions between A and B in the run that the reference calls free of regression (batch 108)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The middle 95 %."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of the run.

    interval: of the judge's own, None for a count of a run; repeat: what a repeat gives, None where none was drawn.
    """

    value: float
    interval: Interval | None = None
    repeat: Interval | None = None


@dataclass(frozen=True, slots=True)
class GradedAnchor:
    """One graded essay with the standard error (logits) of its score; None where nothing is known of it."""

    aligned: AlignedAnchor
    standard_error: float | None


@dataclass(frozen=True, slots=True)
class DirectInversion:
    """A pair that the essay of the worse grade won; its first such comparison.

    luck: the probability that the judge has the better grade higher all the same, given all comparisons; meetings,
    won: how often the two met, and how often the worse grade won.
    """

    higher: str
    lower: str
    luck: float
    meetings: int
    won: int
    confidence: float | None
    justification: str


@dataclass(frozen=True, slots=True)
class AlignmentResult:
    """A run against its grades.

    anchors: by rank. tau_a: as the reference has it, order within a grade costing nothing; tau_b: with ties. Both None
    where fewer than two different grades are known, or nothing was judged. zero_win: compared and never won;
    never_compared: the others without a win. ab_regression: direct inversions between A and B beyond AB_BASELINE.
    """

    anchors: tuple[GradedAnchor, ...]
    tau_a: Measure | None
    tau_b: Measure | None
    inversions: tuple[DirectInversion, ...]
    inversion_count: Measure
    zero_win: tuple[str, ...]
    zero_win_count: Measure
    never_compared: tuple[str, ...]
    ab_inversions: int
    ab_regression: int
    judged: int
    failed: int


def evaluate(case: AlignmentCase, *, repeats: int = REPEATS) -> AlignmentResult:
    """Hold a run against its grades. Equal cases give equal results.

    repeats: that are fitted again, which takes most of the time; with 0, taus have no `repeat`.
    """
    won = [outcome for callback in case.callbacks if (outcome := _outcome(callback)) is not None]
    fitted = bt_fit_of(case.items, won)
    aligned = align(fitted, case.callbacks, case.grades, case.scale)
    errors = {row.essay_id: row.standard_error for row in fitted.essays}
    anchors = tuple(GradedAnchor(anchor, errors[anchor.essay_id]) for anchor in aligned.anchors)
    run = _Run.of(case, won, np.array([row.theta for row in fitted.essays]))
    counts = run.repeated_counts()
    drawn = _drawn_scales(case, run.index)
    tau_a = tau_b = None
    if has_order(case) and won:
        intervals, again = run.tau_intervals(drawn), run.repeated_taus(repeats)
        found = run.taus(run.theta)
        tau_a, tau_b = Measure(found[0], intervals[0], again[0]), Measure(found[1], intervals[1], again[1])
    ab = sum(_is_ab(case.grades[pair.higher], case.grades[pair.lower]) for pair in aligned.inversions)
    return AlignmentResult(
        anchors=anchors,
        tau_a=tau_a,
        tau_b=tau_b,
        inversions=tuple(_inversion(case, run, drawn, pair.higher, pair.lower) for pair in aligned.inversions),
        inversion_count=Measure(len(aligned.inversions), repeat=counts[0]),
        zero_win=aligned.zero_win,
        zero_win_count=Measure(len(aligned.zero_win), repeat=counts[1]),
        never_compared=tuple(row.aligned.essay_id for row in anchors if row.aligned.wins + row.aligned.losses == 0),
        ab_inversions=ab,
        ab_regression=max(0, ab - AB_BASELINE),
        judged=len(won),
        failed=len(case.callbacks) - len(won),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """A run as arrays. winners, losers: (m,) items; theta: (n,) logits; place: (n,) on the scale, -1 for no grade."""

    index: Mapping[str, int]
    winners: IntArray
    losers: IntArray
    theta: FloatArray
    place: IntArray

    @classmethod
    def of(cls, case: AlignmentCase, won: Sequence[tuple[str, str]], theta: FloatArray) -> _Run:
        index = {essay: number for number, essay in enumerate(case.items)}
        place = {grade: number for number, grade in enumerate(case.scale)}
        return cls(
            index,
            np.array([index[winner] for winner, _ in won], dtype=np.intp),
            np.array([index[loser] for _, loser in won], dtype=np.intp),
            theta,
            np.array([place[case.grades[one]] if one in case.grades else -1 for one in case.items], dtype=np.intp),
        )

    def taus(self, theta: FloatArray) -> tuple[float, float]:
        """Return tau-a, by the reference's rule that a pair of equal grades agrees, and tau-b of some scores.

        A pair of equal scores and different grades neither agrees nor disagrees: its order would be that of a list.
        """
        graded = self.place >= 0
        scores, places = without_rounding_error(theta[graded]), self.place[graded]
        above, worse = np.subtract.outer(scores, scores), np.subtract.outer(places, places)
        upper = np.triu_indices(len(scores), 1)
        order = np.where(worse[upper] == 0, 1, -np.sign(worse[upper] * above[upper]))
        return float(order.mean()), kendall_tau_b(scores, -places)

    def tau_intervals(self, drawn: FloatArray) -> tuple[Interval, Interval]:
        """Return the intervals of tau-a and tau-b over (d, n) scales."""
        tau_a, tau_b = zip(*map(self.taus, drawn), strict=True)
        return _middle(tau_a), _middle(tau_b)

    def _repeats(self, count: int) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield winners and losers of a run that is asked again."""
        rng = keyed_generator("alignment repeats", len(self.theta))
        chance = expit(self.theta[self.winners] - self.theta[self.losers])
        for _ in range(count):
            stays = rng.random(len(chance)) < chance
            yield np.where(stays, self.winners, self.losers), np.where(stays, self.losers, self.winners)

    def repeated_counts(self) -> tuple[Interval | None, Interval | None]:
        """Return how many direct inversions, and anchors without a win, repeats have."""
        if not len(self.winners):
            return None, None
        inversions, zero_win = [], []
        for winners, losers in self._repeats(REPEATS):
            inversions.append(_inverted_pairs(winners, losers, self.place))
            wins = np.bincount(winners, minlength=len(self.theta))
            met = wins + np.bincount(losers, minlength=len(self.theta))
            zero_win.append(int(((wins == 0) & (met > 0) & (self.place >= 0)).sum()))
        return _middle(inversions), _middle(zero_win)

    def repeated_taus(self, count: int) -> tuple[Interval | None, Interval | None]:
        """Return the taus of repeats, each fitted again."""
        found = []
        for winners, losers in self._repeats(count):
            try:
                again = fit(Comparisons(winners, losers, len(self.theta)), uncertainty="skip")
            except NotConverged:
                continue
            found.append(self.taus(again.theta))
        if not found:
            return None, None
        tau_a, tau_b = zip(*found, strict=True)
        return _middle(tau_a), _middle(tau_b)


def _drawn_scales(case: AlignmentCase, index: Mapping[str, int]) -> FloatArray:
    """Return (d, n) scales that the judge may have, given its answers."""
    judged = [callback for callback in case.callbacks if callback.succeeded]
    if not judged:
        return np.zeros((1, len(index)))
    shown = [tuple(index[essay] for essay in callback.essay_ids()) for callback in judged]
    answers = Judgements(
        n_items=len(index),
        first=np.array([first for first, _ in shown], dtype=np.intp),
        second=np.array([second for _, second in shown], dtype=np.intp),
        asked=np.ones(len(judged)),
        first_wins=np.array([float(callback.winning_essay() == callback.essay_ids()[0]) for callback in judged]),
    )
    rng = keyed_generator("alignment scales", len(index), len(judged))
    return posterior(fit_judgements(answers), DRAWS, rng).theta


def _middle(values: Sequence[float]) -> Interval:
    low, high = np.percentile(values, (2.5, 97.5))
    return Interval(float(low), float(high))


def _inverted_pairs(winners: IntArray, losers: IntArray, place: IntArray) -> int:
    """Return how many pairs the worse grade won at least once. place: by item, -1 where no grade is known."""
    known = (place[winners] >= 0) & (place[losers] >= 0)
    inverted = known & (place[winners] > place[losers])
    return len(set(zip(winners[inverted].tolist(), losers[inverted].tolist(), strict=True)))


def _is_ab(higher: str, lower: str) -> bool:
    """Return whether a pair lies between A and B, finer steps included."""
    return higher[:1] == "A" and lower[:1] == "B"


def _inversion(case: AlignmentCase, run: _Run, drawn: FloatArray, higher: str, lower: str) -> DirectInversion:
    above = drawn[:, run.index[higher]] > drawn[:, run.index[lower]]
    met = [one for one in case.callbacks if one.succeeded and set(one.essay_ids()) == {higher, lower}]
    against = [one for one in met if one.winning_essay() == lower]
    return DirectInversion(
        higher=higher,
        lower=lower,
        luck=float(np.mean(above)),
        meetings=len(met),
        won=len(against),
        confidence=against[0].confidence,
        justification=against[0].justification or "",
    )


def _outcome(callback: LLMComparisonResultV1) -> tuple[str, str] | None:
    winner = callback.winning_essay()
    if winner is None:
        return None
    first, second = callback.essay_ids()
    return winner, second if winner == first else first
