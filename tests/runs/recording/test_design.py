"""This module tests the plan of a recording: every pair, and who is shown first."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from cj_pipeline.runs.recording.design import all_pairs, pairs_of


def items(count: int) -> list[str]:
    return [f"e{number:02d}" for number in range(count)]


@pytest.mark.parametrize("count", range(2, 17))
def test_every_pair_is_asked_once_and_no_essay_twice_in_a_wave(count: int) -> None:
    plan = all_pairs(items(count), seed=3)
    asked = [frozenset((pair.essay_a, pair.essay_b)) for wave in plan for pair in wave]
    assert Counter(asked) == Counter(frozenset(pair) for pair in combinations(items(count), 2))
    assert len(asked) == pairs_of(count)
    for wave in plan:
        shown = [essay for pair in wave for essay in (pair.essay_a, pair.essay_b)]
        assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("count", range(2, 17))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_essay_is_first_in_half_of_its_comparisons(count: int, seed: int) -> None:
    first = Counter(pair.essay_a for wave in all_pairs(items(count), seed) for pair in wave)
    assert {abs(2 * first[item] - (count - 1)) for item in items(count)} <= {0, 1, 2}
    if count % 2 == 0:  # with an odd number one seat is empty, and its opposite has one comparison less to balance
        assert {abs(2 * first[item] - (count - 1)) for item in items(count)} == {1}


def test_another_seed_is_another_plan_and_the_same_one_the_same() -> None:
    assert all_pairs(items(8), 1) == all_pairs(items(8), 1) != all_pairs(items(8), 2)


def test_both_orders_shows_each_pair_from_both_sides() -> None:
    shown = Counter((pair.essay_a, pair.essay_b) for wave in all_pairs(items(5), 1, both_orders=True) for pair in wave)
    assert set(shown.values()) == {1}
    assert len(shown) == 20
