"""This module measures how well a fit agrees with known grades: expected ranks, inversions, winless anchors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.runs.record import BtFit


@dataclass(frozen=True, slots=True)
class AlignedAnchor:
    """One graded essay.

    rank, expected_rank: among the graded essays, 1 is best. Expected is by grade, equal grades keeping the order of
    their scores, so that the order within a grade costs nothing.
    """

    essay_id: str
    grade: str
    theta: float
    rank: int
    expected_rank: int
    wins: int
    losses: int

    @property
    def win_rate(self) -> float:
        """Wins over comparisons, 0 without any."""
        total = self.wins + self.losses
        return self.wins / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Inversion:
    """A pair that the essay of the strictly worse grade won at least once; counted once however often."""

    higher: str
    lower: str


@dataclass(frozen=True, slots=True)
class Alignment:
    """A fit against the grades. anchors: by rank."""

    anchors: tuple[AlignedAnchor, ...]
    inversions: tuple[Inversion, ...]
    zero_win: tuple[str, ...]
    """Essays without a win. One that was never compared is not counted: it had no chance to win."""


def align(
    fit: BtFit, callbacks: Iterable[LLMComparisonResultV1], grades: Mapping[str, str], scale: Sequence[str]
) -> Alignment:
    """Alignment of the essays that have a grade. grades: by essay id; scale: grades from best to worst."""
    position = {grade: index for index, grade in enumerate(scale)}
    graded = sorted((row for row in fit.essays if row.essay_id in grades), key=lambda row: row.rank)
    by_grade = sorted(graded, key=lambda row: position[grades[row.essay_id]])
    expected = {row.essay_id: index + 1 for index, row in enumerate(by_grade)}
    anchors = tuple(
        AlignedAnchor(
            essay_id=row.essay_id,
            grade=grades[row.essay_id],
            theta=row.theta,
            rank=index + 1,
            expected_rank=expected[row.essay_id],
            wins=row.wins,
            losses=row.losses,
        )
        for index, row in enumerate(graded)
    )
    return Alignment(
        anchors=anchors,
        inversions=_inversions(callbacks, grades, position),
        zero_win=tuple(anchor.essay_id for anchor in anchors if anchor.wins == 0 and anchor.losses > 0),
    )


def _inversions(
    callbacks: Iterable[LLMComparisonResultV1], grades: Mapping[str, str], position: Mapping[str, int]
) -> tuple[Inversion, ...]:
    found: dict[Inversion, None] = {}
    for callback in callbacks:
        winner = callback.winning_essay()
        if winner is None:
            continue
        first, second = callback.essay_ids()
        loser = second if winner == first else first
        if winner in grades and loser in grades and position[grades[winner]] > position[grades[loser]]:
            found.setdefault(Inversion(higher=loser, lower=winner))
    return tuple(found)
