"""For every statistical gate, a faithful live side that passes and one that is wrong in just that respect and fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from benchmarks.operating_characteristics import comparison, noise_by_gate
from benchmarks.simulated_judges import Kind, judge_of
from cj_pipeline.parity.comparison import Comparison, Sample
from cj_pipeline.parity.gates import GATES
from cj_pipeline.parity.noise import Noise, differences

KIND = Kind(20, 80, 0.5, 0.6, 3.0, 0.2, False, 0.3, 4, 2)
Edit = Callable[[Comparison, Sample], Sample]


@cache
def case() -> Comparison:
    """Twenty graded essays, two recordings and four live batches with errors; every fourth call is made again."""
    rng = np.random.default_rng(6)
    judge = judge_of(KIND, rng)
    recordings = [judge.answers(1, rng) for _ in range(2)]
    live = judge.answers(KIND.batches, rng)
    sides = [replace(side, retry=np.arange(len(side)) % 4 == 0) for side in (*recordings, live)]
    found = comparison(judge, tuple(sides[:2]), sides[2])
    assert found.winner is not None
    order = np.argsort(-found.winner.fit.mean[:-1])
    return replace(found, grades={found.items[item]: rank // 4 for rank, item in enumerate(order)})


@cache
def noise() -> dict[str, Noise]:
    return noise_by_gate(case())


def wins(change: Callable[[Comparison, np.ndarray], np.ndarray]) -> Edit:
    return lambda case, sample: replace(sample, wins=change(case, sample.wins))


def part(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    return lambda case, sample: replace(sample, **{name: change(getattr(sample, name)[0])[None]})


def inverted(case: Comparison, won: np.ndarray) -> np.ndarray:
    return case.asked.answers - won


def always_a(case: Comparison, won: np.ndarray) -> np.ndarray:
    return np.broadcast_to(case.asked.answers, won.shape)


def split(case: Comparison, won: np.ndarray) -> np.ndarray:
    """Every prompt answered both ways, equally often."""
    return np.floor(np.broadcast_to(case.asked.answers, won.shape) / 2)


def second_half_inverted(case: Comparison, won: np.ndarray) -> np.ndarray:
    second = np.arange(won.shape[1]) >= won.shape[1] // 2
    return np.where(second, case.asked.answers - won, won)


def losing(losers: Callable[[Comparison], set[int]]) -> Edit:
    """Some essays lose every comparison."""

    def change(case: Comparison, won: np.ndarray) -> np.ndarray:
        lost = losers(case)
        first, second = (np.isin(side, list(lost)) for side in (case.asked.first, case.asked.second))
        return np.where(first, 0, np.where(second, case.asked.answers, won))

    return wins(change)


def strangers(case: Comparison) -> set[int]:
    """Essays of which no two were compared."""
    pairs = {*zip(case.asked.first.tolist(), case.asked.second.tolist(), strict=True)}
    chosen: set[int] = set()
    for item in range(len(case.items)):
        if not any((item, other) in pairs or (other, item) in pairs for other in chosen):
            chosen.add(item)
    return chosen


def best(case: Comparison) -> set[int]:
    return {int(np.argmax(case.winner.fit.mean[:-1]))}


def slower_tail(share: float, factor: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: np.where(values >= np.quantile(values, 1 - share), values * factor, values)


def by_gap(case: Comparison, sample: Sample) -> Sample:
    """Confidence in the order of the gap between the essays."""
    order = np.argsort(np.argsort(case.gaps(case.live)))
    return replace(sample, confidence=np.sort(sample.confidence[0])[order][None])


def by_tokens(case: Comparison, sample: Sample) -> Sample:
    order = np.argsort(np.argsort(sample.completion_tokens[0]))
    return replace(sample, latency_ms=np.sort(sample.latency_ms[0])[order][None])


def second_half_slow(values: np.ndarray) -> np.ndarray:
    place = case().live.batch[case().live.answered]
    late = np.concatenate([np.arange((place == b).sum()) >= (place == b).sum() / 2 for b in range(KIND.batches)])
    return np.where(late, values * 2, values)


WRONG: dict[str, Edit] = {
    "answer_agreement": wins(inverted),
    "agreement_drift": wins(second_half_inverted),
    "winner_share": wins(always_a),
    "rank_agreement": wins(inverted),
    "anchor_tau": wins(inverted),
    "inversions": wins(inverted),
    "zero_win": losing(strangers),
    "position_effect": wins(always_a),
    "sharpness": wins(split),
    "essay_shift": losing(best),
    "repeatability": wins(split),
    "bt_se": wins(always_a),
    "confidence": part("confidence", lambda values: values + 1),
    "confidence_spread": part("confidence", lambda values: 4 + 2.5 * (values - 4)),
    "confidence_link": by_gap,
    "latency_mean": part("latency_ms", lambda values: values * 1.5),
    "latency_p95": part("latency_ms", slower_tail(0.08, 2.5)),
    "latency_p99": part("latency_ms", slower_tail(0.03, 6)),
    "latency_shape": part("latency_ms", lambda values: np.where(np.arange(len(values)) % 2, values * 2, values / 2)),
    "latency_drift": part("latency_ms", second_half_slow),
    "latency_link": by_tokens,
    "tokens_prompt": part("prompt_tokens", lambda values: values * 1.4),
    "tokens_per_essay": part("prompt_tokens", lambda values: np.where(np.arange(len(values)) % 2, 1.1, 0.9) * values),
    "tokens_completion": part("completion_tokens", lambda values: values * 1.4),
    "tokens_total": part("prompt_tokens", lambda values: values * 1.4),
    "tokens_spread": part("completion_tokens", lambda values: np.full_like(values, values.mean())),
    "error_rate": part("errors", lambda places: np.full_like(places, -1)),
    "error_mix": part("errors", lambda places: np.where(places >= 0, 1, -1)),
    "error_bursts": part("errors", np.sort),
    "retry_success": part("errors", lambda places: np.where(case().live.retry, 0, places)),
}


def fails(name: str, sample: Sample) -> bool:
    return bool(noise()[name].beyond(differences(case(), noise()[name], sample))[0])


def test_no_gate_is_left_out() -> None:
    assert set(WRONG) == {gate.name for gate in GATES} == set(noise())


@pytest.mark.parametrize("name", WRONG)
def test_a_faithful_side_passes_the_gate(name: str) -> None:
    assert not fails(name, case().observed)


@pytest.mark.parametrize("name", WRONG)
def test_a_side_that_is_wrong_in_this_respect_fails_the_gate(name: str) -> None:
    assert fails(name, WRONG[name](case(), case().observed))


def test_an_essay_by_another_name_changes_no_value() -> None:
    # Ids are sorted for the arrays: here the first essay becomes the last.
    def renamed(side):
        new = {"e000": "z000"}
        return replace(
            side,
            essay_a=tuple(new.get(essay, essay) for essay in side.essay_a),
            essay_b=tuple(new.get(essay, essay) for essay in side.essay_b),
        )

    one = case()
    items = (*one.items[1:], "z000")
    grades = {("z000" if item == "e000" else item): grade for item, grade in one.grades.items()}
    other = replace(
        one, recordings=tuple(map(renamed, one.recordings)), live=renamed(one.live), items=items, grades=grades
    )
    for gate in GATES:
        values = [gate.statistic(found, found.observed)[0] for found in (one, other)]
        assert values[0] == pytest.approx(values[1], abs=1e-4), gate.name


def test_essays_with_equal_records_are_tied_whatever_their_names() -> None:
    from cj_pipeline.parity.statistics import _tau_b

    left = np.array([1.0, 1.0 + 1e-9, 0.0, -1.0])
    right = np.array([[2.0, 2.0, 1.0, 0.0], [2.0 + 1e-6, 2.0, 1.0, 0.0], [2.0, 2.0 + 1e-6, 1.0, 0.0]])
    assert _tau_b(left, right) == pytest.approx([1.0, 1.0, 1.0])
