"""Coverage waves from a state: every pair is reached, nobody sits out unfairly, the budget is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from itertools import combinations
from pathlib import Path

import pytest

from cj_pipeline.engine.pairing.pairing import next_pairs
from cj_pipeline.engine.state import Batch, State, Wave, WaveKind
from tests.engine.batches import batch, essays
from tests.engine.planned import asked, pairs_of, with_wave

COVERAGE = WaveKind.COVERAGE
UNLIMITED = 10**6


def fresh(number: int, *, seed: int = 7, budget: int = UNLIMITED, **settings: object) -> Batch:
    return batch(number, seed=seed, max_pairwise_comparisons=budget, **settings)


@pytest.mark.parametrize("number", range(3, 31))
def test_repeated_waves_reach_every_pair_and_none_is_empty_before(number: int) -> None:
    state = State(fresh(number))
    met: set[tuple[str, str]] = set()
    while len(met) < number * (number - 1) // 2:
        wave = pairs_of(state, COVERAGE)
        assert wave
        assert met.isdisjoint(wave)
        judged = [essay for pair in wave for essay in pair]
        assert len(judged) == len(set(judged))
        met.update(wave)
        state = asked(state, wave, COVERAGE)
    assert pairs_of(state, COVERAGE) == []


@pytest.mark.parametrize("number", range(3, 31))
def test_a_budget_is_spent_to_the_last_comparison(number: int) -> None:
    # One short of all pairs, so that the last wave of most nets is cut.
    budget = number * (number - 1) // 2 - 1
    state = State(fresh(number, budget=budget))
    while state.remaining:
        state = with_wave(state, COVERAGE)
    assert state.submitted == len({c.pair for c in state.comparisons()}) == budget
    assert next_pairs(state, COVERAGE) == []


@pytest.mark.parametrize("number", [5, 7, 9, 15, 29])
def test_the_most_compared_essay_sits_out_and_of_these_the_smallest_id(number: int) -> None:
    state = State(fresh(number))
    # Of odd nets: in each of the first waves everybody but one is still free to meet everybody near.
    for _ in range(number // 2):
        compared = Counter(essay for c in state.comparisons() for essay in c.pair)
        most = max(compared.values(), default=0)
        wave = pairs_of(state, COVERAGE)
        (alone,) = set(state.batch.items) - {essay for pair in wave for essay in pair}
        assert alone == min(essay for essay in state.batch.items if compared[essay] == most)
        state = asked(state, wave, COVERAGE)


def test_counts_stay_within_one_of_each_other_through_the_coverage_of_an_odd_net() -> None:
    state = State(fresh(15))
    for _ in range(14):
        state = with_wave(state, COVERAGE)
        compared = Counter(essay for c in state.comparisons() for essay in c.pair)
        assert max(compared.values()) - min(compared[essay] for essay in state.batch.items) <= 1


def test_a_cut_wave_is_of_the_least_compared() -> None:
    # Two essays have been compared four times each, the others never; two pairs fit into the budget.
    state = asked(State(fresh(6, budget=6)), [("essay-00", "essay-01")] * 4, COVERAGE)
    wave = pairs_of(state, COVERAGE)
    assert len(wave) == 2
    assert {"essay-00", "essay-01"}.isdisjoint(essay for pair in wave for essay in pair)


def test_a_cut_wave_is_full_where_the_least_compared_have_all_met() -> None:
    # The two least compared, 04 and 05, have met; there is room for one pair, and it is one of theirs with another.
    state = asked(State(fresh(6, budget=14)), [("essay-04", "essay-05")], COVERAGE)
    state = asked(state, list(combinations(essays(4), 2)) * 2, COVERAGE)
    (pair,) = pairs_of(state, COVERAGE)
    assert {"essay-04", "essay-05"} & set(pair)


@pytest.mark.parametrize(("number", "budget"), [(8, 10), (24, 70), (30, 100), (31, 100)])
def test_a_budget_that_ends_in_mid_wave_leaves_counts_within_one(number: int, budget: int) -> None:
    state = State(fresh(number, budget=budget))
    while state.remaining:
        state = with_wave(state, COVERAGE)
    compared = Counter(essay for c in state.comparisons() for essay in c.pair)
    assert sum(compared.values()) == 2 * budget
    assert max(compared.values()) - min(compared.values()) <= 1


def test_neighbours_on_the_scale_meet_first() -> None:
    scores = dict(zip(essays(6), [0.0, 5.0, 0.1, 5.1, 10.0, 10.1], strict=True))
    wave = pairs_of(replace(State(fresh(6)), scores=scores), COVERAGE)
    assert wave == [("essay-00", "essay-02"), ("essay-01", "essay-03"), ("essay-04", "essay-05")]


def test_a_failed_pair_may_be_asked_again_where_no_retry_pool_will() -> None:
    everything = [(a, b) for a in essays(4) for b in essays(4) if a < b]
    state = asked(
        State(fresh(4, enable_failed_comparison_retry=False)),
        everything,
        COVERAGE,
        fails=lambda number: everything[number] == ("essay-01", "essay-03"),
    )
    assert pairs_of(state, COVERAGE) == [("essay-01", "essay-03")]


def test_a_pending_pair_is_not_asked_again() -> None:
    state = with_wave(State(fresh(4)), COVERAGE)
    in_flight = replace(state, waves=(Wave(state.waves[0].comparisons),))
    assert {c.pair for c in in_flight.comparisons()}.isdisjoint(pairs_of(in_flight, COVERAGE))


def test_another_seed_and_another_wave_draw_other_pairs() -> None:
    first = [tuple(pairs_of(State(fresh(24, seed=seed)), COVERAGE)) for seed in range(5)]
    assert len(set(first)) == 5
    assert len({tuple(pairs_of(State(fresh(24, pair_generation_seed=seed)), COVERAGE)) for seed in range(5)}) == 5


@pytest.mark.parametrize("number", [7, 12, 25])
def test_the_near_method_reaches_every_pair_too(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cj_pipeline.engine.pairing.matching.EXACT_PAIRS", 0)
    state = State(fresh(number))
    while wave := pairs_of(state, COVERAGE):
        state = asked(state, wave, COVERAGE)
    assert len({c.pair for c in state.comparisons()}) == state.submitted == number * (number - 1) // 2


def digest() -> str:
    """Of two waves of a net on either side of the size where the near method takes over, and of a cut pass."""
    small, large = State(fresh(9)), State(fresh(220))
    for _ in range(2):
        small, large = with_wave(small, COVERAGE), with_wave(large, COVERAGE)
    cut = pairs_of(replace(large, submitted=UNLIMITED - 30), WaveKind.RESAMPLING)
    return sha256(repr((small.comparisons(), large.comparisons(), cut)).encode()).hexdigest()


def test_another_process_plans_the_same() -> None:
    script = "from tests.engine.test_pairing import digest; print(digest())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "2025"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest()


def test_a_wave_of_five_thousand_essays_pairs_everybody() -> None:
    # In about 1 s on the machine of benchmarks/waves.py.
    state = asked(State(fresh(5_000)), [], COVERAGE)
    wave = pairs_of(state, COVERAGE)
    assert len(wave) == 2_500
    assert len({essay for pair in wave for essay in pair}) == 5_000
