from __future__ import annotations

import pytest

from cj_pipeline.bt.comparisons import Comparisons, InvalidComparison
from cj_pipeline.bt.fit import NoComparisons, fit, fit_warnings
from cj_pipeline.bt.separation import Separation
from tests.bt.nets import ladder


def test_winless_and_undefeated_items_are_named() -> None:
    # 0 beat all; 1 and 2 beat each other; 3 lost to all; 4 never played
    net = Comparisons([0, 0, 0, 1, 2, 1], [1, 2, 3, 2, 1, 3], 5)
    with pytest.raises(Separation, match=r"item 3 never won; item 0 never lost.*'map'") as caught:
        fit(net, estimator="mle")
    assert caught.value.winless == (3,)
    assert caught.value.undefeated == (0,)
    assert caught.value.groups == ((0,), (1, 2), (3,))


def test_two_groups_of_which_one_always_won_are_named_although_everybody_won_and_lost() -> None:
    net = Comparisons([2, 3, 0, 1, 2], [3, 2, 1, 0, 0], 4)
    with pytest.raises(Separation, match=r"2 groups, and none of the first \(items 2, 3\) ever lost") as caught:
        fit(net, estimator="mle")
    assert caught.value.groups == ((2, 3), (0, 1))
    assert caught.value.winless == caught.value.undefeated == ()


def test_separation_in_one_of_two_parts_is_separation() -> None:
    with pytest.raises(Separation) as caught:
        fit(Comparisons([0, 1, 2], [1, 0, 3], 4), estimator="mle")
    assert caught.value.undefeated == (2,)
    assert caught.value.winless == (3,)


def test_one_upset_makes_a_ladder_estimable() -> None:
    net = ladder(4)
    with pytest.raises(Separation):
        fit(net, estimator="mle")
    upset = Comparisons([*net.winners, 3], [*net.losers, 0], 4)
    assert fit(upset, estimator="mle").theta[0] > 0


def test_a_long_list_of_items_is_cut_in_the_message_and_whole_in_the_error() -> None:
    with pytest.raises(Separation, match="items 1, 2, 3, 4, 5, 6, 7, 8 and 12 more never won") as caught:
        fit(Comparisons([0] * 20, range(1, 21), 21), estimator="mle")
    assert caught.value.winless == tuple(range(1, 21))


def test_an_error_carries_its_items_and_says_its_cause_by_their_names() -> None:
    names = ("anna", "bert", "carl", "dora")
    with pytest.raises(Separation) as caught:
        fit(Comparisons([0, 0, 0, 1, 2, 1], [1, 2, 3, 2, 1, 3], 4), estimator="mle")
    assert caught.value.items == (0, 3)
    assert caught.value.cause(names) == "dora never won; anna never lost"
    with pytest.raises(Separation) as caught:
        fit(Comparisons([2, 3, 0, 1, 2], [3, 2, 1, 0, 0], 4), estimator="mle")
    assert caught.value.items == (2, 3)
    assert (
        caught.value.cause(names)
        == "the net falls into 2 groups, and none of the first (carl, dora) ever lost to the others"
    )


def test_warnings_of_a_fit_can_name_the_items() -> None:
    fitted = fit(Comparisons([0], [1], 3))
    assert fitted.warnings == ("Never compared, so at a neutral score: item 2.",)
    assert fit_warnings(fitted, ("anna", "bert", "carl")) == ("Never compared, so at a neutral score: carl.",)


def test_other_errors_carry_their_items_too() -> None:
    with pytest.raises(InvalidComparison) as itself:
        Comparisons([0, 2], [1, 2], 3)
    assert (itself.value.row, itself.value.items) == (1, (2,))
    with pytest.raises(NoComparisons) as nothing:
        fit(Comparisons([], [], 3))
    assert nothing.value.items == (0, 1, 2)
