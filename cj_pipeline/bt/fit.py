"""This module estimates scores from comparisons by the Bradley-Terry estimators, by name.

Estimators:

    production   Gamma prior of kappa = alpha * n_items on every rate exp(theta): the fixed point of I-LSR, drop-in
    map          the same prior with a kappa that does not grow with the net (0.1)
    mle          no prior; exists only where every item beat every other, directly or through others
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from cj_pipeline.bt.newton import log_likelihood, maximise
from cj_pipeline.bt.pairs import component_labels
from cj_pipeline.bt.separation import named, require_maximum
from cj_pipeline.bt.standard_errors import from_information, linked_parts
from cj_pipeline.foundation.errors import CjPipelineError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cj_pipeline.bt.comparisons import Comparisons
    from cj_pipeline.bt.newton import Maximum
    from cj_pipeline.bt.pairs import FloatArray, IntArray, Pairs

Estimator: TypeAlias = Literal["production", "mle", "map"]
Centring: TypeAlias = Literal["compared", "all"]

PRODUCTION_ALPHA = 0.01
MAP_KAPPA = 0.1

# Production's prior is worth alpha * n pseudo-comparisons an item: 3 of them here, 1,000 at 100,000 items.
PRODUCTION_ITEMS = 300


class NoComparisons(CjPipelineError):
    """Nothing to estimate from. Where a batch must go on all the same: `neutral_fit(n_items)`."""

    def __init__(self, n_items: int) -> None:
        self.items = tuple(range(n_items))
        super().__init__("No items." if n_items == 0 else f"{n_items} items, but no comparison of any two of them.")


class EstimatorOption(CjPipelineError):
    """A setting that is unknown, out of range, or without effect on the estimator asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Scores and what is known about them.

    theta: (n,) scores in logits; isolated items are at 0 (minus the overall mean when gauge is "all").
    standard_error: (n,) logits, of theta minus the centre the gauge names, from the likelihood alone and never
        capped; inf where no comparison says anything: isolated items, and all items when only the prior links the
        parts of the net ("component" apart). All inf when uncertainty was skipped.
    estimator: which one this is; "neutral" when there was no data.
    kappa: strength of the prior, in pseudo-comparisons an item; 0 for the mle.
    gauge: what is centred on 0: the "compared" items, "all" items (production's centring), or every "component" by
        itself (mle on a net that falls apart: scores of different components are not comparable).
    n_comparisons: all counts together.
    comparisons_per_item: (n,) comparisons each item took part in.
    components: (n,) label of the connected part of the net each item lies in; isolated items are parts of their own.
    isolated_items: indices of the items never compared, ascending.
    iterations: Newton steps taken.
    gradient_norm: largest absolute component of the gradient at theta; 0 at the exact maximum.
    log_likelihood: of the comparisons at theta, without the prior.
    """

    theta: FloatArray
    standard_error: FloatArray
    estimator: Literal[Estimator, "neutral"]
    kappa: float
    gauge: Literal[Centring, "component"]
    n_comparisons: float
    comparisons_per_item: FloatArray
    components: IntArray
    isolated_items: tuple[int, ...]
    iterations: int
    gradient_norm: float
    log_likelihood: float

    @property
    def n_items(self) -> int:
        """Return how many items were scored."""
        return int(self.theta.shape[0])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return sentences for a reader of the scores; empty when there is nothing to warn of. Items by index."""
        return fit_warnings(self)


def fit(
    comparisons: Comparisons,
    *,
    estimator: Estimator = "production",
    alpha: float = PRODUCTION_ALPHA,
    kappa: float | None = None,
    centring: Centring = "compared",
    uncertainty: Literal["fisher", "skip"] = "fisher",
) -> Fit:
    """Estimate the score of every item.

    alpha: strength of production's prior (kappa = alpha * n_items). kappa: that of map, 0.1 by default.
    centring "all" is production's: over every item, isolated ones included. uncertainty "skip" leaves out the
    standard errors, the dearer half of a large fit. A single item scores 0 with standard error 0, and a warning.
    Raises NoComparisons, Separation (mle), EstimatorOption, NotConverged, TooManyItems (standard errors).
    """
    strength = _kappa(estimator, alpha, kappa, comparisons.n_items)
    if comparisons.n_items == 1:
        return _without_data(1, estimator, strength)
    pairs = comparisons.pairs()
    if pairs.first.shape[0] == 0:
        raise NoComparisons(comparisons.n_items)
    components = component_labels(pairs)
    if estimator == "mle":
        if centring == "all":
            raise EstimatorOption("centring 'all' places isolated items by the prior; the mle has none.")
        require_maximum(pairs, components)
    return _fitted(pairs, components, estimator, strength, maximise(pairs, strength, components), centring, uncertainty)


def neutral_fit(n_items: int) -> Fit:
    """Return scores for a batch that must go on without data: theta 0, standard error inf (displayed at the cap)."""
    return _without_data(n_items, "neutral", 0.0)


def _kappa(estimator: Estimator, alpha: float, kappa: float | None, n_items: int) -> float:
    if estimator not in get_args(Estimator):
        raise EstimatorOption(f"'{estimator}' is not an estimator. {did_you_mean(estimator, get_args(Estimator))}")
    if estimator != "production" and alpha != PRODUCTION_ALPHA:
        raise EstimatorOption(f"alpha belongs to estimator 'production'; {estimator} has no use for it.")
    if estimator != "map" and kappa is not None:
        raise EstimatorOption(f"kappa belongs to estimator 'map'; {estimator} has no use for it.")
    if estimator == "mle":
        return 0.0
    name, value = ("alpha", alpha) if estimator == "production" else ("kappa", MAP_KAPPA if kappa is None else kappa)
    if not (isfinite(value) and value > 0):
        raise EstimatorOption(f"{name} is {value}; a prior needs a finite number above 0, no prior is estimator 'mle'.")
    return value * n_items if estimator == "production" else value


def _fitted(
    pairs: Pairs,
    components: IntArray,
    estimator: Estimator,
    kappa: float,
    maximum: Maximum,
    centring: Centring,
    uncertainty: Literal["fisher", "skip"],
) -> Fit:
    per_item = pairs.wins + pairs.losses
    compared = per_item > 0
    apart = len(linked_parts(components)) > 1
    theta = maximum.theta
    if estimator == "mle" and apart:
        theta = theta - (np.bincount(components, theta) / np.bincount(components))[components]
    elif centring == "all":
        theta = theta - theta.mean()
    else:
        theta = np.where(compared, theta - theta[compared].mean(), 0.0)
    if uncertainty == "skip" or (apart and estimator != "mle"):
        standard_error = np.full(pairs.n_items, np.inf)
    else:
        standard_error = from_information(pairs, maximum.weights, components)
    return Fit(
        theta=theta,
        standard_error=standard_error,
        estimator=estimator,
        kappa=kappa,
        gauge="component" if estimator == "mle" and apart else centring,
        n_comparisons=float(pairs.first_wins.sum() + pairs.second_wins.sum()),
        comparisons_per_item=per_item,
        components=components,
        isolated_items=tuple(np.flatnonzero(~compared).tolist()),
        iterations=maximum.iterations,
        gradient_norm=maximum.gradient_norm,
        log_likelihood=log_likelihood(pairs, maximum.theta),
    )


def fit_warnings(fitted: Fit, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return what a reader of the scores should know, with the items' names where names are given."""
    if fitted.estimator == "neutral":
        return ("No comparisons: every score is neutral.",)
    if fitted.n_items == 1:
        return ("One item: its score is 0 by definition of the scale, not by data.",)
    found = []
    if fitted.estimator == "production" and fitted.n_items > PRODUCTION_ITEMS:
        found.append(
            f"The production prior grows with the net: at {fitted.n_items} items it is worth {fitted.kappa:.3g} "
            "comparisons an item and pulls all scores together. Use estimator 'map' or 'mle'."
        )
    if fitted.isolated_items:
        found.append(f"Never compared, so at a neutral score: {named(fitted.isolated_items, names)}.")
    parts = linked_parts(fitted.components)
    if len(parts) > 1:
        shown = [f"({named(np.flatnonzero(fitted.components == part).tolist(), names)})" for part in parts[:4]]
        more = f" and {len(parts) - 4} more" if len(parts) > 4 else ""
        consequence = (
            "Scores of different components are not comparable."
            if fitted.estimator == "mle"
            else "Only the prior links them, so no score's distance from the centre is known: standard errors are inf."
        )
        found.append(
            f"The net falls into {len(parts)} components; {' and '.join(shown)}{more} were never compared. "
            f"{consequence}"
        )
    return tuple(found)


def _without_data(n_items: int, estimator: Literal[Estimator, "neutral"], kappa: float) -> Fit:
    return Fit(
        theta=np.zeros(n_items),
        standard_error=np.full(n_items, 0.0 if n_items == 1 else np.inf),
        estimator=estimator,
        kappa=kappa,
        gauge="compared",
        n_comparisons=0.0,
        comparisons_per_item=np.zeros(n_items),
        components=np.arange(n_items),
        isolated_items=tuple(range(n_items)),
        iterations=0,
        gradient_norm=0.0,
        log_likelihood=0.0,
    )
