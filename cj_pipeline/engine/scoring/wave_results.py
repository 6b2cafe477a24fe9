"""This module computes how the scale of a batch developed, wave by wave.

All of it follows from the state, so a batch that is stored, replayed or still in flight has its course too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cj_pipeline.bt.agreement import kendall_tau_b, without_rounding_error
from cj_pipeline.bt.diagnostics import se_summary
from cj_pipeline.bt.fit import Fit, neutral_fit
from cj_pipeline.engine.facts import max_score_change
from cj_pipeline.engine.scoring.scores import SCORING_ERRORS, outcomes, score
from cj_pipeline.engine.state import State, Wave, WaveKind


@dataclass(frozen=True, slots=True)
class WaveResult:
    """One wave, and the scale of everything answered by its end.

    number: from 1, as in `Decision.iteration`. completed, failed: of asked; what is missing to it is unanswered.
    covered_pairs: distinct pairs with a winner so far, of the batch's max_possible_pairs.
    mean_se, max_se: logits as displayed, 2.0 at most; items_at_cap: essays that have 2.0, which are all of them while
    no comparison links the parts of the net.
    max_score_change: logits, from the last earlier wave that has a scale; None without one, or without an own.
    tau_b: order of the scores against the last wave's, ties left out of the denominator; 0 where either has no order.
    """

    number: int
    kind: WaveKind
    asked: int
    completed: int
    failed: int
    covered_pairs: int
    mean_se: float
    max_se: float
    items_at_cap: int
    max_score_change: float | None
    tau_b: float


def wave_results(state: State) -> tuple[WaveResult, ...]:
    """Return the waves of a batch in order; none for a batch that had nothing to ask.

    One fit a wave, with its standard errors. A wave whose answers give no scale counts as neutral, all errors at the
    cap. Raises TooManyItems beyond 10,000 linked essays.
    """
    last_scale: dict[str, float] | None = None
    results: list[WaveResult] = []
    covered: set[tuple[str, ...]] = set()
    final = _fit(state) if state.waves else None
    for number, wave in enumerate(state.waves, start=1):
        moment = replace(state, waves=state.waves[:number])
        fitted = final if number == len(state.waves) else _fit(moment)
        scale = None if fitted is None else dict(zip(state.batch.items, fitted.theta.tolist(), strict=True))
        covered.update(tuple(sorted(outcome)) for outcome in wave.won)
        results.append(_result(moment, fitted, final, max_score_change(last_scale, scale), len(covered)))
        last_scale = scale or last_scale
    return tuple(results)


def kind_of(wave: Wave) -> WaveKind:
    """Return why a wave was asked: its comparisons say why their pair was chosen, and which are retries."""
    first = wave.comparisons[0]
    return WaveKind.RETRY if first.retry_of is not None else first.kind


def _fit(state: State) -> Fit | None:
    try:
        return score(state).fit
    except SCORING_ERRORS:
        return None


def _result(moment: State, fitted: Fit | None, final: Fit | None, change: float | None, covered: int) -> WaveResult:
    wave = moment.waves[-1]
    neutral = neutral_fit(len(moment.batch.items))
    shown = fitted or neutral
    errors = se_summary(shown.standard_error, outcomes(moment))
    return WaveResult(
        number=len(moment.waves),
        kind=kind_of(wave),
        asked=len(wave.comparisons),
        completed=len(wave.won),
        failed=len(wave.answers) - len(wave.won),
        covered_pairs=covered,
        mean_se=errors.mean_se,
        max_se=errors.max_se,
        items_at_cap=errors.items_at_cap,
        max_score_change=change,
        tau_b=kendall_tau_b(without_rounding_error(shown.theta), without_rounding_error((final or neutral).theta)),
    )
