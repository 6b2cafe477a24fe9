"""This module projects the scores of a batch to the grades of its students.

A grade is decided by boundaries that are the same for every essay of the batch, drawn for the median standard error of
its students: of two students the higher score never has the lower grade, however unsure either score is. An essay's
own standard error shapes its probabilities and its confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf, isfinite
from typing import TYPE_CHECKING

import numpy as np

from cj_pipeline.bt.agreement import kendall_tau_b
from cj_pipeline.engine.grades.calibration import Calibration, Cuts, calibrate
from cj_pipeline.engine.grades.confidence import Confidence, confidence
from cj_pipeline.engine.grades.scales import SCALES, GradeScale, scale_named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cj_pipeline.bt.pairs import FloatArray

# Production takes two. Two grades give a location and a slope with nothing left over that could contradict either: an
# exchange of the two anchors' labels would pass. The third is the first that can disagree.
MIN_DISTINCT_GRADES = 3

# The quarter of a grade's range that is its minus or its plus.
FINE_SHARE = 0.25


class ContextSource(StrEnum):
    """Where the scale comes from; only an assignment has anchors."""

    ASSIGNMENT = "assignment"
    COURSE = "course"
    DEFAULT = "default"


class Unavailable(StrEnum):
    """Why a batch has no grades at all."""

    NO_SCORES = "no_scores"
    NO_GRADED_ANCHORS = "no_graded_anchors"
    TOO_FEW_GRADES = "too_few_grades"


class Ungraded(StrEnum):
    """Why one student has no grade where others have."""

    NO_SCORE = "no_score"
    NOT_LINKED = "not_linked_to_anchors"


@dataclass(frozen=True, slots=True)
class GradeContext:
    """The scale a batch is graded on, by name. An unknown name is graded as Swedish, with a warning."""

    grade_scale: str
    source: ContextSource = ContextSource.ASSIGNMENT


@dataclass(frozen=True, slots=True)
class ScoredEssay:
    """An essay as the projection needs it.

    score: logits; None when the batch has none. standard_error: logits, within the essay's own part of the net, not
    capped for display; inf when it was never compared. part: label of that part; scores of different parts are not on
    one scale. known_grade: an anchor's, None for students and for anchors that nobody graded.
    """

    essay_id: str
    score: float | None
    standard_error: float
    part: int = 0
    is_anchor: bool = False
    known_grade: str | None = None

    @property
    def measured(self) -> bool:
        """Return whether its comparisons say anything about it."""
        return self.score is not None and isfinite(self.score) and isfinite(self.standard_error)


@dataclass(frozen=True, slots=True)
class ProjectedGrade:
    """One student's grade.

    grade: with its finer step ("B+"), or the one below the scale; anchor_grade: the grade of the scale it belongs to.
    probabilities: of every grade of the scale, lowest first. likely_grades: lowest and highest of the range that holds
    the true one with 90 % or more. score, standard_error: logits, the latter not capped.
    """

    essay_id: str
    grade: str
    anchor_grade: str
    probabilities: Mapping[str, float]
    likely_grades: tuple[str, str]
    confidence: Confidence
    prior: float
    score: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Projection:
    """The grades of a batch, in order of essay id; empty and with a reason when there can be none.

    anchor_grades: by id, of the anchors that calibrated. warnings: what was left aside and why; ids, never texts.
    """

    scale: GradeScale
    context_source: ContextSource
    grades: tuple[ProjectedGrade, ...] = ()
    unavailable: Unavailable | None = None
    ungraded: Mapping[str, Ungraded] = field(default_factory=dict)
    anchor_grades: Mapping[str, str] = field(default_factory=dict)
    calibration: Calibration | None = None
    cuts: Cuts | None = None
    warnings: tuple[str, ...] = ()

    @property
    def available(self) -> bool:
        """Return whether the batch could be graded; a single student may be missing all the same (`ungraded`)."""
        return self.unavailable is None


def project(essays: Sequence[ScoredEssay], context: GradeContext) -> Projection:
    """Grade every student that comparisons link to the anchors. The order of the essays does not matter."""
    scale = scale_named(context.grade_scale)
    ordered = sorted(essays, key=lambda essay: essay.essay_id)
    warnings = []
    if context.grade_scale not in SCALES:
        warnings.append(f"grade scale '{context.grade_scale}' is unknown; {scale.name} is used.")
    usable = []
    for essay in ordered:
        if essay.is_anchor:
            problem = _unusable(essay, scale)
            if problem:
                warnings.append(f"anchor {essay.essay_id} does not calibrate: {problem}.")
            else:
                usable.append(essay)
    anchors = _one_part(usable)
    warnings += [
        f"anchor {anchor.essay_id} does not calibrate: no comparison links it to the other anchors."
        for anchor in usable
        if anchor.part != anchors[0].part
    ]
    reason = _reason(ordered, anchors)
    if reason is not None:
        return Projection(scale, context.source, unavailable=reason, warnings=tuple(warnings))
    anchor_scores, anchor_errors = _measurements(anchors)
    calibration = calibrate(scale, [str(anchor.known_grade) for anchor in anchors], anchor_scores, anchor_errors)
    if kendall_tau_b([scale.grades.index(str(anchor.known_grade)) for anchor in anchors], anchor_scores) <= 0:
        warnings.append("the anchors' scores do not rise with their grades: the judge and the grades disagree.")
    students = [essay for essay in ordered if not essay.is_anchor]
    graded = [essay for essay in students if essay.measured and essay.part == anchors[0].part]
    scores, errors = _measurements(graded)
    cuts = calibration.cuts(float(np.median(errors if graded else anchor_errors)))
    table = calibration.probabilities(scores, errors)
    grades = tuple(
        _graded(essay.essay_id, score, error, chances, scale, cuts)
        for essay, score, error, chances in zip(graded, scores.tolist(), errors.tolist(), table, strict=True)
    )
    with_grade = {grade.essay_id for grade in grades}
    return Projection(
        scale=scale,
        context_source=context.source,
        grades=grades,
        ungraded={
            essay.essay_id: Ungraded.NO_SCORE if essay.score is None else Ungraded.NOT_LINKED
            for essay in students
            if essay.essay_id not in with_grade
        },
        anchor_grades={essay.essay_id: str(essay.known_grade) for essay in anchors},
        calibration=calibration,
        cuts=cuts,
        warnings=tuple(warnings),
    )


def grade_range(scale: GradeScale, cuts: Cuts, grade: str) -> tuple[float, float]:
    """Return the lowest and highest score of a grade; -inf and inf at the ends. The lower end belongs to it."""
    edges = [-inf, *cuts.boundaries.tolist(), inf]
    place = scale.grades.index(grade)
    return edges[place], edges[place + 1]


def grade_of(score: float, scale: GradeScale, cuts: Cuts) -> tuple[str, str]:
    """Return the grade with its finer step (or the one below the scale), and the grade of the scale it belongs to.

    Minus is the lowest quarter of a grade's range and plus the highest, where the scale has them; a range without an
    end has no quarters, so the highest grade never has a minus.
    """
    grade = scale.grades[int(np.searchsorted(cuts.boundaries, score, side="right"))]
    if scale.below_lowest is not None and score < cuts.floor:
        return scale.below_lowest, scale.grades[0]
    lowest, highest = grade_range(scale, cuts, grade)
    if isfinite(lowest) and isfinite(highest):
        share = (score - lowest) / (highest - lowest)
        if share < FINE_SHARE and grade in scale.minus:
            return f"{grade}-", grade
        if share > 1 - FINE_SHARE and grade in scale.plus:
            return f"{grade}+", grade
    return grade, grade


def _unusable(anchor: ScoredEssay, scale: GradeScale) -> str:
    """Return why an anchor cannot calibrate; empty when it can."""
    if anchor.known_grade is None:
        return "it has no grade"
    if anchor.known_grade not in scale.grades:
        return f"its grade '{anchor.known_grade}' is not on the scale {scale.name}"
    return "" if anchor.measured else "it was never compared"


def _one_part(anchors: list[ScoredEssay]) -> list[ScoredEssay]:
    """Return the anchors of the part of the net with most grades, then the most anchors, then the smallest id."""
    parts: dict[int, list[ScoredEssay]] = {}
    for anchor in anchors:
        parts.setdefault(anchor.part, []).append(anchor)
    # max keeps the first of equals, and parts are in the order of their smallest id.
    return max(parts.values(), key=lambda part: (len({anchor.known_grade for anchor in part}), len(part)), default=[])


def _reason(essays: list[ScoredEssay], anchors: list[ScoredEssay]) -> Unavailable | None:
    if not any(essay.measured for essay in essays):
        return Unavailable.NO_SCORES
    if not anchors:
        return Unavailable.NO_GRADED_ANCHORS
    if len({anchor.known_grade for anchor in anchors}) < MIN_DISTINCT_GRADES:
        return Unavailable.TOO_FEW_GRADES
    return None


def _measurements(essays: list[ScoredEssay]) -> tuple[FloatArray, FloatArray]:
    """Return (n,) scores and standard errors of essays that are measured."""
    scores = np.array([essay.score for essay in essays], dtype=np.float64)
    return scores, np.array([essay.standard_error for essay in essays], dtype=np.float64)


def _graded(
    essay_id: str, score: float, standard_error: float, chances: FloatArray, scale: GradeScale, cuts: Cuts
) -> ProjectedGrade:
    grade, anchor_grade = grade_of(score, scale, cuts)
    at_most = np.cumsum(chances)
    last = len(scale.grades) - 1
    lowest, highest = (min(int(np.searchsorted(at_most, share)), last) for share in (0.05, 0.95))
    return ProjectedGrade(
        essay_id=essay_id,
        grade=grade,
        anchor_grade=anchor_grade,
        probabilities=dict(zip(scale.grades, chances.tolist(), strict=True)),
        likely_grades=(scale.grades[lowest], scale.grades[highest]),
        confidence=confidence(chances),
        prior=scale.priors[scale.grades.index(anchor_grade)],
        score=score,
        standard_error=standard_error,
    )
