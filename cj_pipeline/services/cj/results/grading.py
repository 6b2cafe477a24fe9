"""This module grades a finished batch for the finalizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cj_pipeline.engine.grades.from_scores import scored_essays
from cj_pipeline.engine.grades.projection import GradeContext, Projection, project
from cj_pipeline.engine.scoring.diagnostics import BatchDiagnostics
from cj_pipeline.engine.scoring.rankings import BatchEssay


class Grader(Protocol):
    """Whatever turns scores into grades."""

    def __call__(
        self, essays: Sequence[BatchEssay], diagnostics: BatchDiagnostics, context: GradeContext
    ) -> Projection:
        """Return the grades; unavailable, with a reason, where there can be none."""
        ...


def calibrated_grades(essays: Sequence[BatchEssay], diagnostics: BatchDiagnostics, context: GradeContext) -> Projection:
    """Grades from the batch's own anchors."""
    return project(scored_essays(essays, diagnostics), context)
