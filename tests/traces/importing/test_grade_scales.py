"""The scales that sources name are those that the service grades by."""

from __future__ import annotations

import pytest

from cj_pipeline.engine.grades.scales import SCALES
from cj_pipeline.traces.importing.grade_scales import OUTCOMES, STEPS, NotOnTheScale, net_scale


def test_they_are_the_service_s_own_from_best_to_worst() -> None:
    assert {name: steps[::-1] for name, steps in STEPS.items()} == {
        name: scale.grades for name, scale in SCALES.items()
    }
    assert {name: set(outcomes) for name, outcomes in OUTCOMES.items()} == {
        name: set(scale.outcomes) for name, scale in SCALES.items()
    }


def test_a_finer_grade_stands_in_its_place_where_it_is_in_use() -> None:
    assert net_scale("swedish_8_anchor", ["E-", "A"]) == ("A", "B", "C+", "C", "D+", "D", "E", "E-", "F")


def test_without_a_name_the_first_scale_that_has_the_grades_is_taken() -> None:
    assert net_scale(None, ["F+", "A"]) == STEPS["eng5_np_legacy_9_step"]
    assert net_scale(None, ["9", "1"]) == STEPS["eng5_np_national_9_step"]
    assert net_scale("nonsense", []) is None


@pytest.mark.parametrize(
    ("name", "grades", "told"),
    [
        ("swedish_9", ["A"], "Known: .*swedish_8_anchor"),
        ("swedish_8_anchor", ["F+"], "are not those of swedish_8_anchor"),
        (None, ["F+", "9"], "are not those of any known scale"),
    ],
)
def test_a_grade_or_a_scale_that_nobody_knows_is_refused(name: str | None, grades: list[str], told: str) -> None:
    with pytest.raises(NotOnTheScale, match=told):
        net_scale(name, grades)
