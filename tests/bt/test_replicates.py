from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.bt import replicates
from cj_pipeline.bt.fit import EstimatorOption, NoComparisons, fit
from cj_pipeline.bt.replicates import fit_replicates
from cj_pipeline.bt.simulate import simulate
from cj_pipeline.foundation.errors import CjPipelineError
from tests.bt.nets import outcome


def design(n_items: int, n_rows: int, replicate_count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random pairs in both orders, some of them repeated; the last item is left out."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, n_items - 1, n_rows)
    second = (first + rng.integers(1, n_items - 1, n_rows)) % (n_items - 1)
    truth = rng.normal(0, 2, n_items)
    return first, second, np.array([simulate(truth, first, second, rng) for _ in range(replicate_count)])


@pytest.mark.parametrize(("n_items", "n_rows", "alpha"), [(13, 66, 0.01), (6, 5, 0.01), (30, 400, 0.2), (13, 66, 1e-9)])
def test_every_replicate_is_scored_as_fit_scores_it(n_items, n_rows, alpha) -> None:
    first, second, won = design(n_items, n_rows, 40, seed=n_items)
    theta = fit_replicates(first, second, won, n_items, alpha)
    one_by_one = [fit(outcome(first, second, row, n_items), alpha=alpha).theta for row in won]
    assert theta == pytest.approx(np.array(one_by_one), abs=1e-8)
    assert np.all(theta[:, -1] == 0)  # isolated
    assert np.ptp(theta[:, 0]) > 0.1  # and the replicates do differ


@pytest.mark.parametrize(("limit", "value"), [("STACKED_CELLS", 400), ("CHOLESKY_LIMIT", 5)])
def test_replicates_worked_on_in_pieces_or_one_by_one_are_the_same(limit, value, monkeypatch) -> None:
    first, second, won = design(13, 66, 7, seed=1)
    at_once = fit_replicates(first, second, won, 13)
    monkeypatch.setattr(replicates, limit, value)
    assert fit_replicates(first, second, won, 13) == pytest.approx(at_once, abs=1e-10)


def test_a_perfect_ladder_among_the_replicates_is_the_published_one() -> None:
    first, second = np.triu_indices(5, 1)
    won = np.ones((2, 10), dtype=bool)
    won[1] = False
    theta = fit_replicates(first, second, won, 5)
    assert theta[0] == pytest.approx([4.2777, 2.4563, 0.3839, -2.0333, -5.0845], abs=1e-4)
    assert theta[1] == pytest.approx(theta[0][::-1], abs=1e-9)


def test_edges() -> None:
    none = np.zeros((0, 1), dtype=bool)
    assert fit_replicates([0], [1], none, 2).shape == (0, 2)
    assert fit_replicates([], [], np.zeros((3, 0), dtype=bool), 1).tolist() == [[0.0]] * 3
    with pytest.raises(NoComparisons):
        fit_replicates([], [], np.zeros((3, 0), dtype=bool), 4)
    with pytest.raises(CjPipelineError, match="boolean table of B rows by 1 comparisons"):
        fit_replicates([0], [1], np.ones((3, 2), dtype=bool), 2)
    with pytest.raises(CjPipelineError, match="not int64"):
        fit_replicates([0], [1], np.ones((3, 1), dtype=np.int64), 2)
    with pytest.raises(EstimatorOption, match="alpha is 0"):
        fit_replicates([0], [1], np.ones((3, 1), dtype=bool), 2, alpha=0)
