"""This module splits the spread of the scores into the items' own and our uncertainty: separation reliability and
index.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from cj_pipeline.foundation.errors import CjPipelineError


@dataclass(frozen=True, slots=True)
class Reliability:
    """Scale separation of a set of scores.

    reliability: (observed variance - error variance) / observed variance, 0 at least. Pairs chosen by the scores they
        led to (adaptive designs) inflate it: Bramley (2015) measured .7 on scripts drawn at random.
    separation: true standard deviation in standard errors, sqrt(reliability / (1 - reliability)).
    observed_variance: of the scores, n - 1 in the denominator. error_variance: mean squared standard error.
    n_items: how many scores went in.
    """

    reliability: float
    separation: float
    observed_variance: float
    error_variance: float
    n_items: int


def scale_separation(theta: npt.ArrayLike, standard_error: npt.ArrayLike) -> Reliability | None:
    """Return that of (n,) scores and standard errors in logits; None where fewer than two items have a finite error.

    Items with an infinite one (never compared, not linked) are left out: nothing is known of them.
    """
    scores, errors = np.asarray(theta, dtype=np.float64), np.asarray(standard_error, dtype=np.float64)
    if scores.ndim != 1 or scores.shape != errors.shape or np.isnan(errors).any():
        raise CjPipelineError(f"{errors.shape} standard errors for {scores.shape} scores.")
    known = np.isfinite(errors)
    count = int(known.sum())
    if count < 2:
        return None
    observed = float(scores[known].var(ddof=1))
    error = float(np.mean(errors[known] ** 2))
    if error == 0:
        raise CjPipelineError("standard errors of 0 leave nothing to be reliable about.")
    true = max(observed - error, 0.0)
    return Reliability(
        reliability=true / observed if observed > 0 else 0.0,
        separation=sqrt(true / error),
        observed_variance=observed,
        error_variance=error,
        n_items=count,
    )
