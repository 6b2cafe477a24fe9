"""This module scores a batch: Bradley-Terry over its successful comparisons.

Every successful comparison counts, repeats included; errors and unanswered ones do not.
"""

from __future__ import annotations

from dataclasses import dataclass

from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.fit import Fit, NoComparisons, fit
from cj_pipeline.bt.newton import NotConverged
from cj_pipeline.engine.state import State

SCORING_ERRORS = (NoComparisons, NotConverged)
"""What scoring a batch may raise; such a batch goes on without new scores."""


@dataclass(frozen=True, slots=True)
class Scores:
    """A fit with the names of its items. `comparisons` holds the outcomes the fit is of."""

    essays: tuple[str, ...]
    comparisons: Comparisons
    fit: Fit


def outcomes(state: State) -> Comparisons:
    """Return the batch's successful comparisons over all its essays, in sorted order of their ids."""
    index = {essay: position for position, essay in enumerate(state.batch.items)}
    won = state.won()
    return Comparisons([index[winner] for winner, _ in won], [index[loser] for _, loser in won], len(index))


def score(state: State) -> Scores:
    """Fit the batch with production's estimator. Raises one of SCORING_ERRORS."""
    comparisons = outcomes(state)
    fitted = fit(comparisons, estimator="production", alpha=state.batch.settings.bt_alpha)
    return Scores(essays=state.batch.items, comparisons=comparisons, fit=fitted)


def rescore(state: State) -> dict[str, float] | None:
    """Return scores for a decision: without standard errors, which no decision reads; None when there is no fit."""
    try:
        fitted = fit(outcomes(state), estimator="production", alpha=state.batch.settings.bt_alpha, uncertainty="skip")
    except SCORING_ERRORS:
        return None
    return dict(zip(state.batch.items, fitted.theta.tolist(), strict=True))
