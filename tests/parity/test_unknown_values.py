"""Answers without a known confidence or tokens are left out of the statistics: absent is not zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.operating_characteristics import comparison, failed_gates
from benchmarks.simulated_judges import Kind, judge_of
from cj_pipeline.mock.model.answers import Answers
from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.gates import GATES

COLUMNS = {"confidence": ("confidence",), "tokens": ("prompt_tokens", "completion_tokens", "total_tokens")}


def sides(columns: tuple[str, ...], recorded: float, live: float) -> Comparison:
    rng = np.random.default_rng(5)
    judge = judge_of(Kind(12, 66, 0.0, 0.7, 3.0, 0.0, False, 0.3, 3, 1), rng)

    def without(answers: Answers, share: float) -> Answers:
        unknown = rng.random(len(answers)) < share
        changed: dict[str, Any] = {name: np.where(unknown, np.nan, getattr(answers, name)) for name in columns}
        return replace(answers, **changed)

    return comparison(judge, (without(judge.answers(1, rng), recorded),), without(judge.answers(3, rng), live))


@pytest.mark.parametrize("columns", COLUMNS.values(), ids=list(COLUMNS))
@pytest.mark.parametrize(("recorded", "live"), [(0.4, 0.4), (0.0, 0.5), (0.5, 0.0)])
def test_a_faithful_side_passes_with_and_without_them(columns: tuple[str, ...], recorded: float, live: float) -> None:
    failed, noise = failed_gates(sides(columns, recorded, live))
    assert failed == []
    assert all(np.isfinite(one.differences).all() and np.isfinite(one.reference) for one in noise.values())
    assert {"confidence", "confidence_link", "latency_link", "tokens_total"} <= noise.keys()


@pytest.mark.parametrize(
    ("columns", "off"),
    [
        (COLUMNS["confidence"], {"confidence", "confidence_spread", "confidence_link"}),
        (COLUMNS["tokens"], {"tokens_prompt", "tokens_completion", "tokens_total", "tokens_spread", "latency_link"}),
    ],
)
def test_a_side_that_never_tells_turns_its_gates_off(columns: tuple[str, ...], off: set[str]) -> None:
    case = sides(columns, 1.0, 0.0)
    reasons = {gate.name: gate.missing(case) for gate in GATES}
    assert {name for name in off if reasons[name] is None} == set()
    assert reasons["latency_mean"] is None
    assert failed_gates(case)[0] == []


def test_a_changed_confidence_is_found_among_the_known_ones() -> None:
    case = sides(COLUMNS["confidence"], 0.4, 0.4)
    surer = replace(case, live=replace(case.live, confidence=case.live.confidence + 0.9))
    assert "confidence" in failed_gates(surer)[0]
