"""This module takes prompt tokens apart: how many each essay adds, wherever it is shown."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import cg

from cj_pipeline.mock.model.answers import FloatArray, IntArray

# Essays up to which the equations are solved by their singular values: at 2,000 that takes ten seconds.
_DENSE = 200


def parts_by_essay(first: IntArray, second: IntArray, excess: FloatArray, n: int) -> FloatArray:
    """Return (n,) parts that add up to the excess of each prompt as nearly as possible (least squares).

    first, second: (p,) the essays of each prompt. excess: (p,) tokens beyond the mean. Of the solutions, the shortest.
    """
    rows = np.concatenate([first, first, second, second])
    columns = np.concatenate([first, second, first, second])
    matrix = csr_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    right = np.bincount(first, excess, n) + np.bincount(second, excess, n)
    if n <= _DENSE:
        return np.asarray(np.linalg.lstsq(matrix.toarray(), right, rcond=1e-10)[0])
    # From zero, and always within the range of the matrix: conjugate gradients end at the shortest solution too.
    return np.asarray(cg(matrix, right, rtol=1e-10, maxiter=2_000)[0])
