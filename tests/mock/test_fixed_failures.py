"""Errors that come back at the same prompts."""

from __future__ import annotations

from uuid import UUID

import pytest

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.mock.fixed_failures import share_fixed
from cj_pipeline.mock.judge import MockJudge
from cj_pipeline.mock.mode.errors import Errors
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.mode import Mode
from tests.mock.test_course import Asked

PROMPTS = [(f"a{number}", f"b{number}") for number in range(400)]


def mode_with(**errors: object) -> Mode:
    return load_mode("eng5_anchor_gpt51_low").model_copy(update={"errors": Errors(**errors)})


def failures(mode: Mode, batch: int, attempt: int = 0) -> list[bool]:
    judge = MockJudge(mode, seed=1)
    return [
        isinstance(judge.attempt(Asked(UUID(int=(batch << 64) + place), pair), attempt).outcome, ProviderError)
        for place, pair in enumerate(PROMPTS)
    ]


def test_fixed_prompts_fail_in_every_batch_and_retry() -> None:
    mode = mode_with(rate=0.2, repeatability=1.0)
    first = failures(mode, 0)
    assert failures(mode, 1) == first == failures(mode, 2, attempt=1)
    assert sum(first) / len(first) == pytest.approx(0.2, abs=0.06)


def test_without_repeatability_other_prompts_fail_each_time() -> None:
    mode = mode_with(rate=0.2)
    first, second = failures(mode, 0), failures(mode, 1)
    both = sum(one and other for one, other in zip(first, second, strict=True))
    assert both / len(first) == pytest.approx(0.04, abs=0.03)


def test_half_of_them_lies_in_between() -> None:
    mode = mode_with(rate=0.2, repeatability=0.5)
    first, second = failures(mode, 0), failures(mode, 1)
    both = sum(one and other for one, other in zip(first, second, strict=True))
    assert both / len(first) == pytest.approx(0.5 * 0.2 + 0.5 * 0.04, abs=0.05)


def test_a_recorded_failure_comes_back() -> None:
    failed = {first: {second: 1} for first, second in PROMPTS[:50]}
    found = failures(mode_with(rate=0.1, repeatability=1.0, failed=failed), 0)
    assert all(found[:50])


def test_the_more_often_it_was_the_same_the_likelier_it_is_fixed() -> None:
    assert share_fixed(0.4, 0.1, 0, 1) == 0.4
    assert 0.4 < share_fixed(0.4, 0.1, 2, 0) < share_fixed(0.4, 0.1, 3, 0) < 1
    assert share_fixed(0.4, 0.1, 1, 1) == 0
    # That a prompt is answered twice says little where most are.
    assert share_fixed(0.4, 0.1, 0, 2) == pytest.approx(0.4, abs=0.05)
