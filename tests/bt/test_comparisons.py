from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.bt.comparisons import Comparisons, InvalidComparison
from cj_pipeline.foundation.errors import CjPipelineError


@pytest.mark.parametrize(
    ("winners", "losers", "n_items", "counts", "row", "says"),
    [
        ([0, 1, 2], [1, 2, 2], 3, None, 2, "item 2 is compared with itself"),
        ([0, -1], [1, 0], 2, None, 1, "winner -1 is outside 0 .. 1"),
        ([0, 0], [1, 5], 3, None, 1, "loser 5 is outside 0 .. 2"),
        ([0, 1], [1, 0], 2, [1.0, float("nan")], 1, "count nan"),
        ([0, 1], [1, 0], 2, [-1, 1], 0, "count -1"),
        ([0, 1], [1, 0], 2, [1, float("inf")], 1, "count inf"),
        ([0, 1], [1, 0], 2, [1], 1, "2 winners but 1 counts"),
        ([0, 1, 0], [1, 0], 2, None, 2, "3 winners but 2 losers"),
        ([0.0, float("nan")], [1, 0], 2, None, 1, "winner nan is not an item index"),
        ([0.5], [1], 2, None, 0, "winner 0.5 is not an item index"),
    ],
)
def test_a_bad_row_is_named(winners, losers, n_items, counts, row, says) -> None:
    with pytest.raises(InvalidComparison, match=says) as caught:
        Comparisons(winners, losers, n_items, counts)
    assert caught.value.row == row
    assert f"row {row}" in str(caught.value)
    assert isinstance(caught.value, CjPipelineError)


@pytest.mark.parametrize(
    ("winners", "losers", "counts", "says"),
    [
        (["a"], ["b"], None, "not item indices"),
        ([True], [False], None, "not item indices"),
        ([[0, 1]], [[1, 0]], None, "shape"),
        ([[0], [1, 0]], [1], None, "not one list"),
        ([0], [1], ["many"], "not one number a row"),
        ([0], [1], [[1.0]], "shape"),
    ],
)
def test_input_of_the_wrong_kind_is_refused_as_a_whole(winners, losers, counts, says) -> None:
    with pytest.raises(InvalidComparison, match=says) as caught:
        Comparisons(winners, losers, 2, counts)
    assert caught.value.row is None


def test_a_negative_number_of_items_is_refused() -> None:
    with pytest.raises(InvalidComparison, match="n_items is -1"):
        Comparisons([], [], -1)


def test_wins_losses_and_comparisons_are_counted_by_item() -> None:
    net = Comparisons([0, 0, 2], [1, 2, 1], 4, counts=[2, 1, 0.5])
    assert net.wins.tolist() == [3, 0, 0.5, 0]
    assert net.losses.tolist() == [0, 2.5, 1, 0]
    assert net.comparisons_per_item.tolist() == [3, 2.5, 1.5, 0]
    assert net.n_comparisons == 3.5
    assert net.isolated.tolist() == [False, False, False, True]


def test_components_are_numbered_by_their_smallest_item_and_an_isolated_item_is_one() -> None:
    net = Comparisons([3, 1], [0, 4], 5)
    assert net.components.tolist() == [0, 1, 2, 0, 1]


@pytest.mark.parametrize("n_items", [5, 64, 65, 600])  # both ways of finding components, both ways of gathering
def test_a_chain_is_one_component_until_a_link_is_cut(n_items) -> None:
    items = np.arange(n_items)
    whole = Comparisons(items[1:], items[:-1], n_items)
    assert set(whole.components.tolist()) == {0}
    cut = Comparisons(items[2:], items[1:-1], n_items)
    assert cut.components.tolist() == [0] + [1] * (n_items - 1)


def test_a_row_counted_zero_times_links_nothing() -> None:
    net = Comparisons([0, 1], [1, 2], 3, counts=[1, 0])
    assert net.components.tolist() == [0, 0, 1]
    assert net.isolated.tolist() == [False, False, True]


@pytest.mark.parametrize("n_items", [4, 600])
def test_pairs_add_up_both_directions(n_items) -> None:
    pairs = Comparisons([0, 3, 0, 2], [3, 0, 3, 1], n_items, counts=[1, 5, 2, 1]).pairs()
    assert pairs.first.tolist() == [0, 1]
    assert pairs.second.tolist() == [3, 2]
    assert pairs.first_wins.tolist() == [3, 0]
    assert pairs.second_wins.tolist() == [5, 1]


def test_comparisons_cannot_be_changed_through_the_list_they_were_made_from() -> None:
    winners = np.array([0, 1])
    net = Comparisons(winners, [1, 0], 2)
    winners[0] = 1
    assert net.winners.tolist() == [0, 1]
    with pytest.raises(ValueError, match="read-only"):
        net.winners[0] = 1


def test_whole_numbers_stored_as_floats_are_indices() -> None:
    assert Comparisons([0.0, 1.0], [1.0, 0.0], 2).winners.tolist() == [0, 1]


def test_no_rows_and_no_items_can_be_described() -> None:
    assert Comparisons([], [], 3).isolated.tolist() == [True] * 3
    assert Comparisons([], [], 3).components.tolist() == [0, 1, 2]
    assert Comparisons([], [], 3).wins.dtype == np.float64  # numpy counts nothing in integers
    assert Comparisons([], [], 0).components.tolist() == []
