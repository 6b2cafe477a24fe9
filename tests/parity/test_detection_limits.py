"""Detection limits against runs of a mock that drifted: the drifts are other code than the gauntlet's."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest

from benchmarks.detection_limits import SCENARIOS, tried
from benchmarks.mock_drifts import drifted
from benchmarks.operating_characteristics import comparison
from benchmarks.simulated_judges import Kind, judge_of
from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.gauntlet.faithful import Faithful
from cj_pipeline.parity.gauntlet.judgements import forgetful, shifted
from cj_pipeline.parity.gauntlet.limits import DRIFTS
from cj_pipeline.reports.rooms import REPOSITORY

FIGURES = json.loads((REPOSITORY / "benchmarks" / "figures" / "detection_limits.json").read_text(encoding="utf-8"))
LOWER5 = "eng5_lower5_gpt51_low_20251202"


@cache
def case() -> Comparison:
    rng = np.random.default_rng(5)
    judge = judge_of(Kind(12, 66, 0.5, 0.6, 2.0, 0.0, False, 0.3, 4, 1), rng)
    return comparison(judge, (judge.answers(1, rng),), judge.answers(4, rng))


def test_every_kind_of_drift_has_been_tried() -> None:
    assert [entry["scenario"] for entry in FIGURES] == list(SCENARIOS)
    assert all({limit["kind"] for limit in entry["limits"]} == {one.kind for one in DRIFTS} for entry in FIGURES)


def test_a_printed_limit_is_found_in_80_percent_of_the_runs_of_a_mock() -> None:
    for entry in FIGURES:
        runs = entry["runs"]
        reach = 2 * np.sqrt(0.8 * 0.2 / runs)
        assert runs >= 100
        assert entry["no_drift"] / runs <= 0.03
        for limit in entry["limits"]:
            for one in limit["tried"]:
                assert one["found"] / runs >= 0.8 - reach, (entry["scenario"], limit["sentence"])
                assert one["drawn"] >= 0.75, (entry["scenario"], limit["sentence"])


@pytest.mark.parametrize("kind", [one.kind for one in DRIFTS])
def test_a_drift_of_nothing_changes_nothing(kind: str) -> None:
    found, observed = drifted(kind, case(), 0.0, np.random.default_rng(1)), case().observed
    for name in ("wins", "latency_ms", "completion_tokens", "prompt_tokens", "confidence", "errors"):
        part = getattr(found, name)
        assert part is None or np.array_equal(part, getattr(observed, name))


@pytest.mark.parametrize(
    ("kind", "size"), [("position", 1.5), ("position", -1.5), ("flips", 20.0), ("repeats lost", 100.0)]
)
def test_answers_drift_as_far_as_those_of_drawn_judges(kind: str, size: float) -> None:
    """By the share of A and by how often a prompt is answered alike: both drifts, without one line in common."""
    faithful = Faithful(case())
    judge, n = faithful.judge, case().asked.answers
    answers = {
        "position": lambda: shifted(judge, size),
        "flips": lambda: judge.answers() ^ (np.random.default_rng(2).random(judge.free.shape) < size / 100),
        "repeats lost": lambda: forgetful(faithful, judge, size / 100),
    }[kind]()
    drawn, before = judge.wins(answers), judge.wins(judge.answers())
    found = np.concatenate([drifted(kind, case(), size, np.random.default_rng(seed)).wins for seed in range(200)])
    observed = case().observed.wins

    def alike(wins: np.ndarray) -> float:
        return float(1 - np.mean(2 * wins * (n - wins) / (n * (n - 1))))

    assert found.sum() / len(found) / n.sum() - observed.sum() / n.sum() == pytest.approx(
        (drawn.mean(axis=0).sum() - before.mean(axis=0).sum()) / n.sum(), abs=0.04
    )
    assert alike(found) - alike(observed) == pytest.approx(alike(drawn) - alike(before), abs=0.05)


def test_a_scenario_is_tried_as_the_figures_say() -> None:
    found = tried(LOWER5, 2)
    committed = next(entry for entry in FIGURES if entry["scenario"] == LOWER5)
    # Out of date? python -m benchmarks.detection_limits
    assert sizes(found) == pytest.approx(sizes(committed), rel=0.1)
    assert max(one["found"] for limit in found["limits"] for one in limit["tried"]) == 2


def sizes(entry: dict) -> dict[str, float]:
    return {
        f"{limit['kind']} {place}": one["size"] for limit in entry["limits"] for place, one in enumerate(limit["tried"])
    }
