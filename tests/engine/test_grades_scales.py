from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.engine.grades.anchors import AnchorReferences, anchor_grade, published_distribution
from cj_pipeline.engine.grades.confidence import ConfidenceLabel, confidence
from cj_pipeline.engine.grades.scales import LEGACY, NATIONAL, NORMALIZED, SCALES, SWEDISH, normalized, scale_named


def test_the_three_scales_are_productions() -> None:
    assert list(SCALES) == ["swedish_8_anchor", "eng5_np_legacy_9_step", "eng5_np_national_9_step"]
    assert dict(zip(SWEDISH.grades, SWEDISH.priors, strict=True)) == {
        "F": 0.02, "E": 0.08, "D": 0.15, "D+": 0.20, "C": 0.25, "C+": 0.15, "B": 0.10, "A": 0.05,
    }  # fmt: skip
    assert LEGACY.grades == ("F+", "E-", "E+", "D-", "D+", "C-", "C+", "B", "A")
    assert NATIONAL.grades == tuple("123456789")
    assert (SWEDISH.below_lowest, LEGACY.below_lowest, NATIONAL.below_lowest) == (None, "F", "0")
    assert set(LEGACY.priors) == set(NATIONAL.priors) == {1 / 9}


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_expected_positions_rise_and_are_zero_on_average(scale) -> None:
    assert sum(scale.priors) == pytest.approx(1.0)
    assert np.all(np.diff(scale.expected_positions) > 0)
    assert scale.expected_positions @ np.array(scale.priors) == pytest.approx(0.0, abs=1e-12)


def test_the_rarest_grade_lies_where_the_lowest_fiftieth_of_a_normal_population_does() -> None:
    # mean of a standard normal below its 2 % quantile: -phi(-2.0537) / 0.02
    assert SWEDISH.expected_positions[0] == pytest.approx(-2.4209, abs=1e-4)


def test_fine_grades_stand_beside_their_grade() -> None:
    assert SWEDISH.outcomes == ("F", "E-", "E", "E+", "D-", "D", "D+", "C-", "C", "C+", "B-", "B", "B+", "A-", "A")
    assert LEGACY.outcomes == ("F", *LEGACY.grades)


def test_an_unknown_scale_is_graded_as_swedish() -> None:
    assert scale_named("ib_7_step") is SWEDISH


def test_normalized_scores_fall_with_the_grade() -> None:
    best_first = ["A", "A-", "B+", "B", "B-", "C+", "C", "C-", "D+", "D", "D-", "E+", "E", "E-", "F+"]
    assert list(NORMALIZED) == best_first
    assert [normalized(grade) for grade in best_first] == sorted(NORMALIZED.values(), reverse=True)
    assert (normalized("B+"), normalized("F"), normalized("U"), normalized("7")) == (0.87, 0.0, 0.0, 0.0)


def test_an_anchors_grade_comes_from_the_first_source_that_knows() -> None:
    references = AnchorReferences(by_text_storage_id={"text-1": "C"}, by_anchor_ref_id={"12": "D"})
    everything: dict[str, object] = {"anchor_grade": "A", "known_grade": "B", "anchor_ref_id": 12}
    assert anchor_grade(everything, "text-1", references) == "A"
    assert anchor_grade({"known_grade": "B", "anchor_ref_id": 12}, "text-1", references) == "B"
    assert anchor_grade({"anchor_ref_id": 12}, "text-1", references) == "C"
    assert anchor_grade({"text_storage_id": "text-1"}, None, references) == "C"
    assert anchor_grade({"anchor_ref_id": 12}, "text-2", references) == "D"
    assert anchor_grade({"anchor_grade": " ", "anchor_ref_id": "13"}, None, references) is None


def test_known_grades_are_published_by_their_letter() -> None:
    tally = published_distribution(["A", "B+", "B-", "F+", None, "7"])
    assert tally == {"A": 1, "B": 2, "C": 0, "D": 0, "E": 0, "F": 1, "U": 2}


@pytest.mark.parametrize(
    ("chances", "score", "label"),
    [
        ([1, 0, 0, 0, 0, 0, 0, 0, 0], 1.0, ConfidenceLabel.HIGH),
        ([0.8, 0.1, 0.1, 0, 0, 0, 0, 0, 0], 0.709, ConfidenceLabel.HIGH),
        ([0.5, 0.5, 0, 0, 0, 0, 0, 0, 0], 0.685, ConfidenceLabel.MID),
        ([1 / 3, 1 / 3, 1 / 3, 0, 0, 0, 0, 0, 0], 0.5, ConfidenceLabel.MID),
        ([0.25, 0.25, 0.25, 0.25, 0, 0, 0, 0, 0], 0.369, ConfidenceLabel.LOW),
        ([1 / 9] * 9, 0.0, ConfidenceLabel.LOW),
    ],
)
def test_confidence_counts_the_grades_that_are_still_possible(chances, score, label) -> None:
    found = confidence(chances)
    assert found.score == pytest.approx(score, abs=1e-3)
    assert found.label is label
