"""This module tests the boundary test: what it asks, and what it makes of the answers."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.eng5.boundary import UNKNOWN, boundary, mean, share
from cj_pipeline.eng5.options import BoundaryOptions, RunnerMode
from cj_pipeline.eng5.runner import run
from cj_pipeline.foundation.errors import BadInput
from tests.eng5.answers import answer
from tests.eng5.nets import options


def answers(*winners: tuple[str, str]) -> list[LLMComparisonResultV1]:
    """Of the pair a, b: the winner of each repetition, as shown and swapped."""
    found = []
    for number, (shown, swapped) in enumerate(winners):
        found += [answer("a", "b", shown, 2 * number), answer("b", "a", swapped, 2 * number + 1)]
    return found


def test_every_pair_of_neighbouring_grades_is_asked_as_often_in_each_order(tmp_path: Path) -> None:
    outcome = run(options(RunnerMode.BOUNDARY, tmp_path, boundary=BoundaryOptions(repetitions=3)))
    document = json.loads(outcome.artefact.read_text())
    asked = Counter((one["essay_a_id"], one["essay_b_id"]) for one in document["llm_comparisons"])
    names = [f"student::VT_{number:03d}_{grade}" for number, grade in enumerate(("A", "B", "C_", "D_"))]
    pairs = list(pairwise(names))
    assert asked == Counter({pair: 3 for first, second in pairs for pair in ((first, second), (second, first))})
    assert [(pair["higher_grade"], pair["lower_grade"]) for pair in document["boundary"]["pairs"]] == [
        ("A", "B"),
        ("B", "C+"),
        ("C+", "D-"),
    ]
    (report,) = outcome.reports
    assert "vt_000_A (A) | vt_001_B (B) | 6 | 6 |" in report.read_text()


def test_named_pairs_have_the_better_grade_first(tmp_path: Path) -> None:
    chosen = BoundaryOptions(pairs=(("vt_003_D-", "vt_000_A"),), repetitions=1)
    outcome = run(options(RunnerMode.BOUNDARY, tmp_path, boundary=chosen))
    (pair,) = json.loads(outcome.artefact.read_text())["boundary"]["pairs"]
    assert (pair["higher_grade"], pair["lower_grade"], pair["asked"]) == ("A", "D-", 2)
    with pytest.raises(BadInput, match="names one essay twice"):
        run(options(RunnerMode.BOUNDARY, tmp_path, boundary=BoundaryOptions(pairs=(("vt_000_A", "vt_000_A"),))))


def test_a_judge_who_goes_by_the_essay_agrees_with_itself_and_has_no_bias() -> None:
    found = boundary([("a", "b")], answers(*[("a", "a")] * 10), 10)
    (pair,) = found.pairs
    assert (pair.win_rate.value, pair.position_bias.value, pair.agreement.value) == (1.0, 0.0, 1.0)
    assert pair.win_rate.low is not None
    assert 0.8 < pair.win_rate.low < 1.0


def test_a_judge_who_goes_by_the_position_has_a_bias_and_never_agrees() -> None:
    found = boundary([("a", "b")], answers(*[("a", "b")] * 10), 10)
    (pair,) = found.pairs
    assert (pair.win_rate.value, pair.position_bias.value, pair.agreement.value) == (0.5, 0.5, 0.0)
    assert found.position_bias == pair.position_bias


def test_what_was_not_answered_is_not_a_zero() -> None:
    found = boundary([("a", "b")], [], 10)
    (pair,) = found.pairs
    assert (pair.asked, pair.answered) == (20, 0)
    assert (pair.win_rate, pair.confidence, pair.position_bias, pair.agreement) == (UNKNOWN,) * 4


def test_a_share_has_wilson_s_interval_and_a_mean_student_s() -> None:
    # Published example: 8 of 10 has 0.490 to 0.943.
    found = share(8, 10)
    assert (found.low, found.high) == (pytest.approx(0.490, abs=5e-4), pytest.approx(0.943, abs=5e-4))
    found = mean([3.0, 4.0, 5.0])
    assert (found.value, found.low) == (4.0, pytest.approx(4 - 4.30265 / 3**0.5, abs=1e-4))
    assert mean([4.0]).low is None
