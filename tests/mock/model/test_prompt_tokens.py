"""Prompt tokens taken apart by essay, by both ways of solving for them."""

from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.mock.model import prompt_tokens
from cj_pipeline.mock.model.prompt_tokens import parts_by_essay


@pytest.mark.parametrize("dense", [0, 200])
def test_parts_of_a_prompt_add_up_to_its_tokens(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_tokens, "_DENSE", dense)
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 20, 80), rng.integers(20, 40, 80)
    length = rng.normal(0, 50, 40)
    parts = parts_by_essay(first, second, length[first] + length[second], 41)
    assert parts[first] + parts[second] == pytest.approx(length[first] + length[second], abs=1e-5)
    assert parts[40] == 0  # never shown


def test_both_ways_give_the_shortest_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, excess = np.array([0, 1]), np.array([1, 2]), np.array([10.0, 40.0])
    dense = parts_by_essay(first, second, excess, 3)
    monkeypatch.setattr(prompt_tokens, "_DENSE", 0)
    assert parts_by_essay(first, second, excess, 3) == pytest.approx(dense, abs=1e-6)
