"""Latencies in the order of calls: drift, and an even spread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.course import LatencyCourse
from cj_pipeline.mock.judge import MockJudge
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.latency import Drift, QuantileLatency, SampledLatency
from cj_pipeline.mock.mode.mode import Mode

LOWER5 = "eng5_lower5_gpt51_low"
ANCHORS = "eng5_anchor_gpt51_low"
ESSAYS = [
    f"student::ANCHOR_ESSAY_ENG_5_{name}" for name in ("363940D5", "50C4F68E", "73127661", "D298E687", "EF692795")
]


@dataclass(frozen=True)
class Asked:
    correlation_id: UUID
    essays: tuple[str, str] = (ESSAYS[0], ESSAYS[1])
    model_override: str | None = None
    prompt_sha256: str = "0" * 64
    user_prompt: str = ""

    def essay_ids(self) -> tuple[str, str]:
        return self.essays


def latencies(mode: Mode, calls: int, seed: int = 1) -> np.ndarray:
    judge = MockJudge(mode, seed)
    return np.array([judge.attempt(Asked(UUID(int=(seed << 64) + call)), 0).latency_ms for call in range(calls)])


def drifting(share: float) -> Mode:
    mode = load_mode(ANCHORS)
    return mode.model_copy(update={"latency": SampledLatency(model="sampled", drift=Drift(share=share, calls=15.0))})


def correlation(values: np.ndarray, lag: int) -> float:
    centred = np.log(values) - np.log(values).mean()
    return float((centred[:-lag] * centred[lag:]).mean() / (centred**2).mean())


def test_means_of_ten_stratified_answers_stay_within_production_s_100_ms() -> None:
    """Ten independent draws overstep it in one batch of six."""
    mode = load_mode(LOWER5)
    assert isinstance(mode.latency, QuantileLatency)
    assert mode.latency.stratified == 10
    calls = latencies(mode, 4000)
    even = calls.reshape(-1, 10).mean(axis=1)
    alone = mode.latency.model_copy(update={"stratified": None})
    free = latencies(mode.model_copy(update={"latency": alone}), 4000).reshape(-1, 10).mean(axis=1)
    assert (np.abs(even - 1588) > 100).mean() < 0.01
    assert (np.abs(free - 1588) > 100).mean() > 0.1
    assert even.mean() == pytest.approx(free.mean(), abs=15)
    # Whatever was asked before: any ten in a row.
    windows = np.lib.stride_tricks.sliding_window_view(calls, 10)
    assert np.abs(windows.mean(axis=1) - 1588).max() <= 100


@pytest.mark.parametrize("strata", [2, 4, 10])
def test_a_stratified_batch_takes_each_part_once_and_its_halves_are_alike(strata: int) -> None:
    """Parity compares the halves of a batch: one that is slower by its order alone would look like drift."""
    mode = load_mode(LOWER5)
    stratified = mode.latency.model_copy(update={"stratified": strata})
    for seed in range(50):
        course = LatencyCourse(mode.model_copy(update={"latency": stratified}), seed)
        parts = [round(course.next_call(0.0) * strata) for _ in range(3 * strata)]
        for first in range(2 * strata):
            batch = parts[first : first + strata]
            assert sorted(batch) == list(range(strata))
            # Pairs of a fast and a slow part cancel, so that one part of a half has no counterpart in it.
            assert abs(sum(batch[: strata // 2]) - (strata - 1) * (strata // 2) / 2) <= strata / 2


def test_drifting_latencies_have_slow_neighbours_and_the_same_distribution() -> None:
    still, slow = latencies(drifting(0.0), 3000), latencies(drifting(0.7), 3000)
    assert abs(correlation(still, 1)) < 0.08
    assert correlation(slow, 1) > 0.4
    assert correlation(slow, 1) > correlation(slow, 20) + 0.2
    # Neighbours are worth less, so quantiles vary more than those of 3,000 answers.
    assert np.quantile(slow, [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(still, [0.1, 0.5, 0.9]), rel=0.12)


def test_a_course_is_the_same_in_every_run_and_another_for_another_seed() -> None:
    first, again, other = (latencies(drifting(0.7), 50, seed).tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_strata_and_drift_exclude_each_other(tmp_path: Path) -> None:
    file = tmp_path / "mode.yaml"
    text = "latency: {model: uniform, low_ms: 1, high_ms: 2, stratified: 5, drift: {share: 0.5}}\n"
    base = "schema_version: 1\nname: x\ndescription: x\nwinner: {model: coin, share_a: 0.5}\n"
    rest = (
        "tokens: {prompt: {model: constant, tokens: 1}, completion: {model: constant, tokens: 1}}\n"
        "confidence: {model: jitter, base: 4, jitter: 0}\n"
    )
    file.write_text(base + text + rest)
    with pytest.raises(BadInput, match="give one of the two"):
        load_mode(str(file))
