"""This module fills in what is not known of some answers, so that what is known of them can be used."""

from __future__ import annotations

import numpy as np

from cj_pipeline.mock.model.answers import FloatArray


def filled(values: FloatArray, beside: FloatArray, otherwise: float) -> FloatArray:
    """Return (n,) values, each unknown one (nan) that of a known one beside it.

    beside: (n,) by which answers are alike. otherwise: the value of all, where none is known.

    >>> filled(np.array([4.0, np.nan, 2.0]), np.array([0.1, 3.2, 3.0]), otherwise=3.0)
    array([4., 2., 2.])
    """
    unknown = np.isnan(values)
    if not unknown.any():
        return values
    if unknown.all():
        return np.full(len(values), otherwise)
    known = np.flatnonzero(~unknown)
    known = known[np.argsort(beside[known], kind="stable")]
    place = np.searchsorted(beside[known], beside[unknown], side="right") - 1
    whole = values.copy()
    whole[unknown] = values[known[np.maximum(place, 0)]]
    return whole
