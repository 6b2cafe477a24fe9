"""Simulated batches whose grades are known: what a projection can be held against.

Quality is normal; a grade is a slice of it, cut by the scale's priors after a marker's noise is added. So neither the
projection's normal grades nor its single spread are true of these cohorts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np

from cj_pipeline.engine.grades.from_scores import scored_essays
from cj_pipeline.engine.grades.projection import ScoredEssay
from cj_pipeline.engine.grades.scales import GradeScale
from cj_pipeline.engine.scoring.diagnostics import Judgement, diagnose
from cj_pipeline.engine.scoring.rankings import BatchEssay
from tests.bt.simulate import simulate

JUDGE = ("mock", "mock-model")


@dataclass(frozen=True)
class Cohort:
    """essays: students, then anchors with one or two of every grade. truth: the students' grades."""

    essays: list[BatchEssay]
    answers: list[Judgement]
    truth: dict[str, str]

    def scored(self) -> list[ScoredEssay]:
        return scored_essays(self.essays, diagnose([essay.essay_id for essay in self.essays], self.answers))


def cohort(scale: GradeScale, seed: int, *, students: int, rounds: int, slope: float, marker_noise: float) -> Cohort:
    """slope: logits for one standard deviation of quality. rounds: comparisons of every essay, at random."""
    rng = np.random.default_rng(seed)
    cuts = [NormalDist().inv_cdf(share) for share in np.cumsum(scale.priors)[:-1].tolist()]

    def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
        quality = rng.standard_normal(number)
        marked = (quality + marker_noise * rng.standard_normal(number)) / np.sqrt(1 + marker_noise**2)
        return quality, np.searchsorted(cuts, marked)

    quality, grades = draw(students)
    pool, pool_grades = draw(5_000)
    chosen = np.concatenate(
        [np.flatnonzero(pool_grades == grade)[: rng.integers(1, 3)] for grade in range(len(scale.grades))]
    )
    theta = slope * np.concatenate((quality, pool[chosen]))
    names = [f"student-{number:03d}" for number in range(students)]
    essays = [BatchEssay(name) for name in names]
    for number, grade in enumerate(pool_grades[chosen]):
        names.append(f"anchor-{number:02d}")
        essays.append(BatchEssay(names[-1], is_anchor=True, metadata={"known_grade": scale.grades[grade]}))
    answers = []
    for _ in range(rounds):
        order = rng.permutation(len(names))
        first, second = order[: len(order) // 2], order[len(order) // 2 : len(order) // 2 * 2]
        for a, b, won in zip(first, second, simulate(theta, first, second, rng), strict=True):
            answers.append(Judgement(names[a], names[b], names[a] if won else names[b], JUDGE))
    truth = {name: scale.grades[grade] for name, grade in zip(names, grades, strict=False)}
    return Cohort(essays, answers, truth)


def perfect_ladder(names: list[str], rounds: int = 1) -> list[Judgement]:
    """Every pair once a round, the earlier name always better; shown first in every other comparison."""
    answers = []
    for turn in range(rounds):
        for place, (better, worse) in enumerate(combinations(names, 2)):
            pair = (better, worse) if (turn + place) % 2 == 0 else (worse, better)
            answers.append(Judgement(*pair, better, JUDGE))
    return answers
