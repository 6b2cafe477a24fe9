"""Every batch ends: whatever the net, the settings and the judge, within its budget. Production's did not.

`run` fails where a batch waits with nothing in flight, and checks after each callback that no invariant is broken.
"""

from __future__ import annotations

from itertools import product

import pytest

from cj_pipeline.cj.facts import successful_pairs
from cj_pipeline.cj.state import Comparison, DecisionKind, UploadStatus
from tests.cj.batches import Judge, always_fails, batch, coin_decides, fails_in, higher_item_wins, run


def first_essay_unreadable(comparison: Comparison) -> str | None:
    """No comparison with the first essay ever succeeds: it is too long, or in the wrong language."""
    return None if "essay-00" in comparison.pair else higher_item_wins(comparison)


JUDGES = {
    "perfect": higher_item_wins,
    "random": coin_decides,
    "one in ten fails": fails_in(0.1),
    "half fail": fails_in(0.5),
    "one essay always fails": first_essay_unreadable,
    "all fail": always_fails,
}

SETTINGS = [
    {
        "max_pairwise_comparisons": budget,
        "max_resampling_passes_for_small_net": small_passes,
        "max_resampling_passes_for_regular_batch": regular_passes,
        "min_resampling_net_size": net_size,
        "min_comparisons_for_stability_check": floor,
    }
    for budget, small_passes, regular_passes, net_size, floor in product(
        (1, 7, 60), (0, 3), (0, 2), (0, 5), (0, 12, 1000)
    )
]


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_small_nets_end_under_every_settings(number: int, judge: Judge) -> None:
    for settings in SETTINGS:
        state = run(batch(number, **settings), judge)
        assert state.completed + state.failed == state.submitted <= settings["max_pairwise_comparisons"]


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
@pytest.mark.parametrize("number", range(6, 31))
def test_larger_nets_end_with_production_settings(number: int, judge: Judge) -> None:
    state = run(batch(number), judge)
    assert state.completed + state.failed == state.submitted <= 120


@pytest.mark.parametrize("number", [3, 5, 7, 9])
def test_an_essay_that_always_fails_is_asked_until_the_budget_is_spent(number: int) -> None:
    # All pairs that are left share this essay, and it was compared most: the one who sits out in an odd net must be
    # somebody else, or the wave is empty and the batch ends with half its budget unused.
    state = run(batch(number), first_essay_unreadable)
    assert state.submitted == 120
    assert successful_pairs(state) == (number - 1) * (number - 2) // 2
    assert state.decisions[-1].kind is DecisionKind.FINALIZE_FAILURE
    assert state.upload_status is UploadStatus.ERROR_PROCESSING


@pytest.mark.parametrize("budget", range(4, 14))
def test_a_shortened_pass_comes_out_where_one_essay_was_compared_most(budget: int) -> None:
    # The first essay fails four times before it is judged, so it counts more comparisons than the others when a pass
    # must be cut to the budget; leaving it out of the last matching would leave no pair to fill the pass with.
    failures = iter(range(4))

    def judge(comparison: Comparison) -> str | None:
        if "essay-00" in comparison.pair and next(failures, None) is not None:
            return None
        return higher_item_wins(comparison)

    state = run(batch(3, max_pairwise_comparisons=budget, min_comparisons_for_stability_check=1000), judge)
    assert state.submitted == budget
