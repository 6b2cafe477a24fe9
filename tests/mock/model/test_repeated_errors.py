"""Errors that come back at the same prompts: how sure a recording makes of it, and what a faithful run then does."""

from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.mock.model.answers import Answers
from cj_pipeline.mock.model.repeated_errors import draw_fixed, fit_error_repeats
from tests.mock.model.columns import answers

ESSAYS = [f"e{number:02d}" for number in range(60)]


def recording(fails: np.ndarray) -> Answers:
    return answers([(essay, "other", -1 if one else 1) for essay, one in zip(ESSAYS, fails, strict=True)])


def judge(rng: np.random.Generator, *, repeats: bool, recordings: int = 2) -> list[Answers]:
    fixed = rng.random(60) < 0.2
    return [recording(fixed if repeats else rng.random(60) < 0.2) for _ in range(recordings)]


@pytest.mark.parametrize(("repeats", "low", "high"), [(True, 0.8, 1.0), (False, 0.0, 0.3)])
def test_two_recordings_say_whether_errors_come_back(repeats: bool, low: float, high: float) -> None:
    fit = fit_error_repeats(judge(np.random.default_rng(1), repeats=repeats), by_hash=False)
    assert fit.again == 60
    assert low < fit.mean < high


def test_one_recording_leaves_it_open() -> None:
    fit = fit_error_repeats(judge(np.random.default_rng(1), repeats=True, recordings=1), by_hash=False)
    assert fit.again == 0
    assert fit.shares[:20].sum() > 0.1
    assert fit.shares[-60:].sum() > 0.3


def test_a_fixed_prompt_does_what_was_recorded_in_every_call() -> None:
    fit = fit_error_repeats(judge(np.random.default_rng(1), repeats=True), by_hash=False)
    prompts = [("", essay, "other") for essay in ESSAYS] * 3
    fixed, fails = draw_fixed(fit, prompts, np.full(500, 0.2), np.random.default_rng(2))
    assert fixed.shape == fails.shape == (500, 180)
    assert np.array_equal(fixed[:, :60], fixed[:, 60:120])
    failed = np.array([fit.counts[prompt][0] > 0 for prompt in prompts])
    assert np.array_equal(fails, fixed & failed)
    assert 0.7 < fixed.mean() < 1.0


def test_a_prompt_of_both_outcomes_is_never_fixed() -> None:
    fit = fit_error_repeats([answers([("a", "b", -1), ("a", "b", 1), ("c", "d", 1)])], by_hash=False)
    fixed, _ = draw_fixed(fit, [("", "a", "b"), ("", "c", "d")], np.full(500, 0.3), np.random.default_rng(2))
    assert not fixed[:, 0].any()
    assert fixed[:, 1].any()


def test_a_prompt_that_was_not_recorded_fails_in_every_call_or_in_none() -> None:
    fit = fit_error_repeats(judge(np.random.default_rng(1), repeats=True), by_hash=False)
    fixed, fails = draw_fixed(fit, [("", "x", "y")] * 4, np.full(2_000, 0.2), np.random.default_rng(2))
    assert np.array_equal(fails[:, 0], fails[:, 3])
    assert fails[fixed[:, 0], 0].mean() == pytest.approx(0.2, abs=0.04)
