"""This module writes a projection under production's keys, as it is stored and published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

from cj_pipeline.bt.diagnostics import DISPLAY_CAP
from cj_pipeline.engine.grades.projection import ProjectedGrade, Projection, ScoredEssay, grade_range
from cj_pipeline.engine.grades.scales import NORMALIZED

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

# JSON has no infinity; production writes this for the outer ends of the lowest and the highest grade.
JSON_INFINITY = 1e10

CALIBRATION_METHOD = "gaussian_mixture"
ASSESSMENT_METHOD = "cj_assessment"


def summary(projection: Projection, essays: Sequence[ScoredEssay]) -> dict[str, Json]:
    """Summarise the students of a batch. essays: all, as they were given to `project`. Maps are empty when unavailable.

    Standard errors are shown up to 2.0, as everywhere they are displayed.
    """
    grades = projection.grades
    return {
        "projections_available": projection.available,
        "primary_grades": {grade.essay_id: grade.grade for grade in grades},
        "confidence_labels": {grade.essay_id: str(grade.confidence.label) for grade in grades},
        "confidence_scores": {grade.essay_id: grade.confidence.score for grade in grades},
        "grade_probabilities": {grade.essay_id: dict(grade.probabilities) for grade in grades},
        "calibration_info": _calibration_info(projection, essays) if projection.available else {},
        "bt_stats": {grade.essay_id: {"bt_mean": grade.score, "bt_se": _shown(grade)} for grade in grades},
    }


def calculation_metadata(projection: Projection, grade: ProjectedGrade) -> dict[str, Json]:
    """Return what is stored beside one student's grade."""
    return {
        "bt_mean": grade.score,
        "bt_se": _shown(grade),
        "grade_probabilities": dict(grade.probabilities),
        "grade_centers": _centers(projection),
        "grade_boundaries": _boundaries(projection),
        "context_source": str(projection.context_source),
        "calibration_method": CALIBRATION_METHOD,
        "primary_anchor_grade": grade.anchor_grade,
        "grade_scale": projection.scale.name,
    }


def grade_row(projection: Projection, grade: ProjectedGrade) -> dict[str, Json]:
    """Return a stored grade projection, but for its batch. `normalized_score` is None for a grade that is no letter."""
    letter = grade.grade in NORMALIZED or grade.grade == "F"
    return {
        "els_essay_id": grade.essay_id,
        "primary_grade": grade.grade,
        "grade_scale": projection.scale.name,
        "confidence_score": grade.confidence.score,
        "confidence_label": str(grade.confidence.label),
        "population_prior": grade.prior,
        "normalized_score": NORMALIZED.get(grade.grade, 0.0) if letter else None,
        "assessment_method": ASSESSMENT_METHOD,
        "calculation_metadata": calculation_metadata(projection, grade),
    }


def _calibration_info(projection: Projection, essays: Sequence[ScoredEssay]) -> dict[str, Json]:
    return {
        "grade_centers": _centers(projection),
        "grade_boundaries": _boundaries(projection),
        "context_source": str(projection.context_source),
        "grade_scale": projection.scale.name,
        "anchor_count": len(projection.anchor_grades),
        "anchor_grades": dict(projection.anchor_grades),
        "bt_se_summary": {
            "all": _se_summary(essays),
            "anchors": _se_summary(essay for essay in essays if essay.is_anchor),
            "students": _se_summary(essay for essay in essays if not essay.is_anchor),
        },
    }


def _centers(projection: Projection) -> dict[str, Json]:
    if projection.calibration is None:
        return {}
    return dict(zip(projection.scale.grades, projection.calibration.centers.tolist(), strict=True))


def _boundaries(projection: Projection) -> dict[str, Json]:
    """Return [lowest, highest] score of every grade."""
    if projection.cuts is None:
        return {}
    ranges = {grade: grade_range(projection.scale, projection.cuts, grade) for grade in projection.scale.grades}
    return {
        grade: [max(lowest, -JSON_INFINITY), min(highest, JSON_INFINITY)] for grade, (lowest, highest) in ranges.items()
    }


def _shown(essay: ProjectedGrade | ScoredEssay) -> float:
    return min(essay.standard_error, DISPLAY_CAP)


def _se_summary(essays: Iterable[ScoredEssay]) -> dict[str, Json]:
    shown = [_shown(essay) for essay in essays]
    if not shown:
        return {"mean_se": 0.0, "max_se": 0.0, "min_se": 0.0, "item_count": 0}
    return {
        "mean_se": float(np.mean(sorted(shown))),  # sorted: a sum depends on its order, a summary must not
        "max_se": max(shown),
        "min_se": min(shown),
        "item_count": len(shown),
    }
