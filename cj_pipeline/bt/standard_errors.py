"""This module computes standard errors of the scores from the Fisher information, in the centred, component and
reference gauges.

The information is that of the likelihood alone, at the given scores: a prior narrows nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpotrf, dtrtri

from cj_pipeline.bt.comparisons import item_indices
from cj_pipeline.bt.newton import pair_weights
from cj_pipeline.bt.pairs import component_labels, scatter
from cj_pipeline.foundation.errors import CjPipelineError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cj_pipeline.bt.comparisons import Comparisons
    from cj_pipeline.bt.pairs import FloatArray, IntArray, Pairs

# Two-threaded double-precision dpotrf of the OpenBLAS in numpy's and scipy's wheels segfaults at 16,000 (12,000: fine).
DENSE_LIMIT = 10_000

# A variance this many times the inverse of the mean information is rounding error, not knowledge: reported as inf.
LARGEST_VARIANCE = 1e13


class TooManyItems(CjPipelineError):
    """More items in one component than a dense factorisation may be given; `items` are their indices."""

    def __init__(self, items: Iterable[int]) -> None:
        self.items = tuple(items)
        super().__init__(
            f"Standard errors of {len(self.items)} connected items: the dense factorisation stops at {DENSE_LIMIT}. "
            "fit(..., uncertainty='skip') gives the scores alone."
        )


def standard_errors(
    theta: npt.ArrayLike,
    comparisons: Comparisons,
    *,
    gauge: Literal["centred", "component"] = "centred",
    reference: int | None = None,
) -> FloatArray:
    """Return (n,) standard errors of theta, in logits.

    gauge "centred": of theta_i minus the mean of all compared items, so inf throughout when the net falls apart (the
    data do not link its parts). "component": of theta_i minus the mean of its own connected part.
    reference: of theta_i - theta_reference instead; 0 for itself, inf for items not linked to it.
    Isolated items: inf. One item: 0. Raises TooManyItems.
    """
    pairs = comparisons.pairs()
    weights = pair_weights(pairs, _scores(theta, comparisons))
    components = component_labels(pairs)
    if reference is not None:
        (reference,) = item_indices([reference], comparisons.n_items, "reference").tolist()
        return from_information(pairs, weights, components, reference=reference)
    if gauge == "centred" and len(linked_parts(components)) > 1:
        return np.full(comparisons.n_items, np.inf)
    return from_information(pairs, weights, components)


def linked_parts(components: IntArray) -> list[int]:
    """Return labels of the components that hold a comparison, that is two items or more."""
    return np.flatnonzero(np.bincount(components) > 1).tolist()


def from_information(
    pairs: Pairs, weights: FloatArray, components: IntArray, *, reference: int | None = None
) -> FloatArray:
    """Return (n,) standard errors from pair weights, each component centred on itself or on the reference item."""
    n = pairs.n_items
    if n == 1:
        return np.zeros(1)
    result = np.full(n, np.inf)
    parts = linked_parts(components)
    if reference is not None:
        result[reference] = 0.0
        parts = [part for part in parts if part == components[reference]]
    for part in parts:
        members = np.flatnonzero(components == part)
        if members.shape[0] > DENSE_LIMIT:
            raise TooManyItems(members.tolist())
        laplacian = _laplacian(pairs, weights, members)
        if reference is None:
            result[members] = np.sqrt(_centred_variances(laplacian))
        else:
            others = members != reference
            result[members[others]] = np.sqrt(_inverse_diagonal(laplacian[np.ix_(others, others)]))
    return result


def _scores(theta: npt.ArrayLike, comparisons: Comparisons) -> FloatArray:
    scores = np.asarray(theta, dtype=np.float64)
    if scores.shape != (comparisons.n_items,) or not np.isfinite(scores).all():
        raise CjPipelineError(f"theta is one finite score for each of the {comparisons.n_items} items.")
    return scores


def _laplacian(pairs: Pairs, weights: FloatArray, members: IntArray) -> FloatArray:
    """Return lower triangle of the Fisher information of one component (every pair lies within one)."""
    size = members.shape[0]
    place = np.full(pairs.n_items, -1, dtype=np.intp)
    place[members] = np.arange(size)
    inside = place[pairs.first] >= 0
    matrix = np.zeros((size, size), order="F")
    # members ascend and first < second, so the larger place is the row.
    matrix[place[pairs.second[inside]], place[pairs.first[inside]]] = -weights[inside]
    matrix.reshape(-1, order="F")[:: size + 1] = scatter(pairs, weights, weights)[members]
    return matrix


def _centred_variances(laplacian: FloatArray) -> FloatArray:
    """Return the pseudo-inverse's diagonal: lift the constant vector off eigenvalue 0, invert, take it out again."""
    size = laplacian.shape[0]
    lift = laplacian.trace() / size**2
    if lift == 0:
        return np.full(size, np.inf)
    return np.asarray(np.maximum(_inverse_diagonal(laplacian + lift) - 1 / (lift * size**2), 0.0))


def _inverse_diagonal(matrix: FloatArray) -> FloatArray:
    """Return the diagonal of the inverse of a positive definite matrix, from its lower triangle; inf when singular."""
    size = matrix.shape[0]
    scale = matrix.trace() / size
    factor, info = dpotrf(np.asfortranarray(matrix), lower=1, clean=1)
    if info == 0:
        inverse, _ = dtrtri(factor, lower=1, overwrite_c=1)
        diagonal = np.einsum("ki,ki->i", inverse, inverse)
        if float(diagonal.max()) * scale <= LARGEST_VARIANCE:
            return np.asarray(diagonal)
    return np.full(size, np.inf)
