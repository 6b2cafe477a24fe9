"""The matchings behind a coverage wave, as numbers: as large as can be, as heavy as is said."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
import rustworkx as rx
from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.engine.pairing.matching import EXACT_PAIRS, best_matching, exact_matching, near_matching
from cj_pipeline.engine.pairing.net import BoolArray, IntArray, Net, chance

METHODS = [exact_matching, near_matching]


def net(number: int, allowed: BoolArray, seed: int, spread: float = 1.5) -> Net:
    """Scores N(0, spread), 0 to 19 comparisons each."""
    rng = np.random.default_rng(seed)
    return Net(
        essay=rng.permutation(number),
        score=np.sort(rng.normal(0, spread, number)),
        compared=rng.integers(0, 20, number),
        luck=rng.uniform(size=number),
        open=allowed,
        evenness=1.0,
        closeness=0.5,
    )


def everybody(number: int) -> BoolArray:
    allowed: BoolArray = ~np.eye(number, dtype=np.bool_)
    return allowed


def open_at_random(number: int, share: float, seed: int) -> BoolArray:
    upper = np.triu(np.random.default_rng(seed).uniform(size=(number, number)) < share, 1)
    allowed: BoolArray = upper | upper.T
    return allowed


def nearest_met(number: int, share: float) -> BoolArray:
    place = np.arange(number)
    allowed: BoolArray = np.abs(place[:, None] - place[None, :]) > number * share
    return allowed


def size(pairs: IntArray, allowed: BoolArray) -> int:
    """Pairs of a matching, which must be one: every essay once, and allowed."""
    assert len(np.unique(pairs)) == 2 * len(pairs)
    assert allowed[pairs[:, 0], pairs[:, 1]].all()
    return len(pairs)


def largest(allowed: BoolArray) -> int:
    """By rustworkx without weights, which has nothing to do with candidates and seats."""
    graph: rx.PyGraph[int, None] = rx.PyGraph()
    graph.add_nodes_from(range(len(allowed)))
    graph.add_edges_from_no_data([(int(a), int(b)) for a, b in np.argwhere(np.triu(allowed))])
    return len(rx.max_weight_matching(graph, max_cardinality=True))


def weight(planned: Net, pairs: IntArray) -> float:
    return float(planned.weight(pairs[:, 0], pairs[:, 1]).sum())


def alone(planned: Net, pairs: IntArray) -> list[int]:
    return sorted(set(range(len(planned))) - set(pairs.ravel().tolist()))


def seat(allowed: BoolArray, order: IntArray) -> int:
    """The first in order without whom a largest matching is as large; by trying everybody."""
    for position in order.tolist():
        rest = np.delete(np.delete(allowed, position, 0), position, 1)
        if largest(rest) == largest(allowed):
            return int(position)
    raise AssertionError("an odd net always has one")


nets = st.tuples(st.integers(2, 14), st.floats(0.05, 1.0), st.integers(0, 10**6))


@given(nets)
@settings(max_examples=100, deadline=None)
def test_both_methods_find_the_largest_size(drawn: tuple[int, float, int]) -> None:
    number, share, seed = drawn
    allowed = open_at_random(number, share, seed)
    for method in METHODS:
        assert size(method(net(number, allowed, seed)), allowed) == largest(allowed)


@pytest.mark.parametrize("seed", range(30))
def test_blossoms_in_blossoms_are_opened(seed: int) -> None:
    # Two edges an essay: trees and odd cycles, where greedy starts end far from the largest size.
    allowed = open_at_random(60, 2 / 60, seed)
    assert size(near_matching(net(60, allowed, seed)), allowed) == largest(allowed)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(15))
def test_who_sits_out_is_the_first_in_order_who_can(method: Callable[[Net], IntArray], seed: int) -> None:
    allowed = open_at_random(11, 0.35, seed)
    planned = net(11, allowed, seed)
    without_a_pair = alone(planned, method(planned))
    if len(without_a_pair) == 1:
        assert without_a_pair == [seat(allowed, planned.sits_out_first())]


def test_the_order_of_sitting_out_is_by_count_and_then_by_id() -> None:
    planned = net(4, everybody(4), seed=1)
    planned.compared[:] = [2, 5, 5, 1]
    planned.essay[:] = [0, 3, 1, 2]
    assert planned.sits_out_first().tolist() == [2, 1, 0, 3]


def every_matching(positions: list[int]) -> list[list[tuple[int, int]]]:
    if not positions:
        return [[]]
    first, *others = positions
    return [
        [(first, other), *rest]
        for other in others
        for rest in every_matching([position for position in others if position != other])
    ]


@pytest.mark.parametrize("seed", range(10))
def test_the_exact_method_is_the_best_of_all_105_matchings_of_eight(seed: int) -> None:
    planned = net(8, everybody(8), seed)
    weights = [
        float(planned.weight(*(np.array(side) for side in zip(*pairs, strict=True))).sum())
        for pairs in every_matching(list(range(8)))
    ]
    assert len(weights) == 105
    assert weight(planned, exact_matching(planned)) == pytest.approx(max(weights), abs=1e-8)


@lru_cache
def gaps() -> dict[str, list[float]]:
    """Share of the weight that the near method loses, %, at the size where it takes over."""
    lost: dict[str, list[float]] = {"all open": [], "half open": [], "near ones met": []}
    for number in (210, 211):
        for seed in range(3):
            for kind, allowed in (
                ("all open", everybody(number)),
                ("half open", open_at_random(number, 0.5, seed)),
                ("near ones met", nearest_met(number, 0.3)),
            ):
                planned = net(number, allowed, seed)
                best = weight(planned, exact_matching(planned))
                lost[kind].append(100 * (best - weight(planned, near_matching(planned))) / best)
    return lost


@pytest.mark.parametrize("kind", ["all open", "half open", "near ones met"])
def test_the_near_method_loses_little_weight(kind: str) -> None:
    assert max(gaps()[kind]) <= 1.0
    assert sum(gaps()[kind]) / len(gaps()[kind]) <= 0.3
    assert min(gaps()[kind]) > -1e-6  # never better than the best


def test_pieces_lose_little_weight_against_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = net(601, open_at_random(601, 0.5, 3), 3)
    in_pieces = weight(planned, near_matching(planned))
    monkeypatch.setattr("cj_pipeline.engine.pairing.matching.PIECE", 10_000)
    assert in_pieces == pytest.approx(weight(planned, near_matching(planned)), rel=0.002)


def test_a_net_whose_pieces_leave_essays_alone_is_matched_as_a_whole() -> None:
    # 502 essays that have met their own half: each half alone has no open pair, and together all can be paired.
    allowed = np.zeros((502, 502), dtype=np.bool_)
    allowed[:251, 251:] = allowed[251:, :251] = True
    assert size(near_matching(net(502, allowed, 0)), allowed) == 251


def test_essays_that_have_met_all_their_candidates_get_more() -> None:
    # One essay may meet a single other one, far away and no candidate of it: between two steps of the spread.
    allowed = everybody(402)
    allowed[0] = allowed[:, 0] = False
    allowed[0, 303] = allowed[303, 0] = True
    for rival in (302, 304):
        allowed[rival] = allowed[:, rival] = False
        allowed[rival, 303] = allowed[303, rival] = True
    assert size(near_matching(net(402, allowed, 0)), allowed) == largest(allowed) == 200


@pytest.mark.parametrize(("number", "pairs"), [(60, 1_770), (400, 79_800)])
def test_both_sides_of_the_limit_pair_everybody(number: int, pairs: int) -> None:
    assert (pairs <= EXACT_PAIRS) == (number == 60)
    one, other = best_matching(net(number, everybody(number), seed=0))
    assert sorted([*one.tolist(), *other.tolist()]) == list(range(number))


def test_whoever_has_met_everybody_does_not_make_a_net_odd() -> None:
    # Five essays, one of them done: the other four are two pairs, whoever was compared most.
    allowed = everybody(5)
    allowed[2] = allowed[:, 2] = False
    one, other = best_matching(net(5, allowed, seed=0))
    assert sorted([*one.tolist(), *other.tolist()]) == [0, 1, 3, 4]


def test_no_open_pair_is_no_matching() -> None:
    assert [len(side) for side in best_matching(net(5, np.zeros((5, 5), dtype=np.bool_), seed=0))] == [0, 0]


def test_the_chance_of_a_pair_has_no_order_and_is_uniform() -> None:
    luck = np.random.default_rng(0).uniform(size=200)
    first, second = np.triu_indices(200, 1)
    drawn = chance(luck, first, second)
    assert (drawn == chance(luck, second, first)).all()
    # 19,900 draws: each tenth holds 1,990, standard deviation 42.
    held = np.histogram(drawn, bins=10, range=(0.0, 1.0))[0]
    assert (np.abs(held - 1_990) < 250).all()
