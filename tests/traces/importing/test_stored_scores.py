"""Scores that came with a source, held against those of a replay."""

from __future__ import annotations

from math import nan

import pytest

from cj_pipeline.traces.importing.stored_scores import score_agreement


def test_a_shifted_scale_is_the_same_scale() -> None:
    agreement = score_agreement({"a": 1.0, "b": 2.0, "c": 4.0}, {"a": -1.0, "b": 0.0, "c": 2.0})
    assert agreement is not None
    assert agreement.largest_difference == pytest.approx(0.0)
    assert agreement.correlation == pytest.approx(1.0)
    assert agreement.essays == 3


def test_the_largest_difference_is_in_logits() -> None:
    # Centred: -1, 1 against -2, 2.
    agreement = score_agreement({"a": 0.0, "b": 2.0}, {"a": 0.0, "b": 4.0})
    assert agreement is not None
    assert agreement.largest_difference == pytest.approx(1.0)


def test_scores_that_do_not_vary_have_no_correlation() -> None:
    agreement = score_agreement({"a": 0.0, "b": 0.0}, {"a": 0.0, "b": 4.0})
    assert agreement is not None
    assert agreement.correlation is None


def test_essays_that_only_one_side_knows_do_not_count() -> None:
    assert score_agreement({"a": 0.0, "b": nan, "c": 1.0}, {"a": 0.0, "b": 1.0, "d": 1.0}) is None
