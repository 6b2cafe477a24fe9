"""Drift and errors that come back are fitted as they were simulated."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.judge_files import JudgeKind
from cj_pipeline.mock.model.answers import Answers, answers_of
from cj_pipeline.mock.model.columns import joined
from cj_pipeline.mock.model.course import fit_drift
from cj_pipeline.mock.model.repeated_errors import fit_repeated_errors
from tests.mock.model.test_held_out import callbacks


def recorded(calls: int, latency: np.ndarray) -> Answers:
    found = answers_of([callbacks(JudgeKind(essays=24, calls=calls))])
    return Answers(**{name: getattr(found, name) for name in found.__dataclass_fields__} | {"latency_ms": latency})


def slow(calls: int, share: float, kept: float, rng: np.random.Generator) -> np.ndarray:
    state, values = rng.standard_normal(), []
    for _ in range(calls):
        state = kept * state + np.sqrt(1 - kept**2) * rng.standard_normal()
        values.append(np.sqrt(share) * state + np.sqrt(1 - share) * rng.standard_normal())
    return np.round(1500 * np.exp(0.3 * np.array(values)))


def test_a_drift_is_found_in_size_and_length() -> None:
    rng = np.random.default_rng(1)
    found = [fit_drift([recorded(276, slow(276, 0.6, 0.93, rng)) for _ in range(3)]) for _ in range(6)]
    assert np.median([drift.share for drift in found]) == pytest.approx(0.6, abs=0.15)
    assert 6 < np.median([drift.calls for drift in found]) < 30


def test_independent_latencies_have_none() -> None:
    rng = np.random.default_rng(2)
    found = [fit_drift([recorded(66, slow(66, 0.0, 0.9, rng))]) for _ in range(60)]
    assert sum(drift.share > 0 for drift in found) <= 1


def failing(repeats: float, rng: np.random.Generator) -> list[Answers]:
    base = answers_of([callbacks(JudgeKind(essays=24, calls=276))])
    fixed, outcome = rng.random(276) < repeats, rng.random(276) < 0.15
    runs = []
    for _ in range(3):
        fails = np.where(fixed, outcome, rng.random(276) < 0.15)
        columns = {name: getattr(base, name) for name in base.__dataclass_fields__}
        runs.append(Answers(**columns | {"winner": np.where(fails, -1, base.winner)}))
    return runs


def test_errors_that_come_back_are_found() -> None:
    rng = np.random.default_rng(3)
    share, failed = fit_repeated_errors(failing(0.8, rng))
    assert share == pytest.approx(0.8, abs=0.15)
    assert sum(len(others) for others in failed.values()) > 20
    assert fit_repeated_errors(failing(0.0, rng))[0] < 0.15


def test_one_recording_says_nothing_of_them() -> None:
    assert fit_repeated_errors(failing(0.8, np.random.default_rng(4))[:1]) == (0.0, {})


def test_joined_answers_keep_their_order_and_get_batches_of_their_own() -> None:
    runs = failing(0.5, np.random.default_rng(5))
    together = joined(runs)
    assert together.batch.tolist() == [0] * 276 + [1] * 276 + [2] * 276
    assert together.winner.tolist() == [winner for run in runs for winner in run.winner.tolist()]
