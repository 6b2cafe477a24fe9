"""This module diagnoses the answers of a run (scores, essays, judges) and keeps what the run's document stores of it.

The diagnostics themselves are the engine's (engine/scoring/diagnostics.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from uuid import UUID

from cj_pipeline.bt.position import PositionEffect
from cj_pipeline.bt.reliability import Reliability
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.engine.scoring.diagnostics import EssayDiagnostics, Judge, JudgeDiagnostics, Judgement, diagnose
from cj_pipeline.engine.scoring.scores import SCORING_ERRORS
from cj_pipeline.engine.state import State


class EssayFitStatistics(FileModel):
    """How well the answers on one essay fit its score.

    infit, outfit: mean squares, 1 expected, None without comparisons. part: of the net, 0 for the one of the smallest
    id. within_part_error: logits, from the mean of that part and not capped; None when never compared.
    """

    essay_id: str
    infit: float | None
    outfit: float | None
    part: int
    within_part_error: float | None


class RunDiagnostics(FileModel):
    """Whether a run's scores can be trusted; see engine.scoring.diagnostics.BatchDiagnostics.

    reliability: None for fewer than two essays that are linked. position_effect: None when the essay shown first won
    always or never. essays: in the order of their ids. isolated, disconnected: essay ids.
    """

    reliability: Reliability | None
    position_effect: PositionEffect | None
    essays: tuple[EssayFitStatistics, ...]
    judges: tuple[JudgeDiagnostics, ...]
    isolated: tuple[str, ...]
    disconnected: tuple[str, ...]
    warnings: tuple[str, ...]


def diagnostics_of(state: State, judged: Iterable[tuple[UUID, Judge]]) -> RunDiagnostics | None:
    """Diagnose the answers that counted; None where they give no scale.

    judged: correlation id and judge of each callback, in order of arrival; the state says what counted.
    """
    try:
        found = diagnose(state.batch.items, counted(state, judged), alpha=state.batch.settings.bt_alpha)
    except SCORING_ERRORS:
        return None
    return RunDiagnostics(
        reliability=found.reliability,
        position_effect=found.position,
        essays=tuple(_kept(essay) for essay in found.essays),
        judges=found.judges,
        isolated=found.isolated,
        disconnected=found.disconnected,
        warnings=found.warnings,
    )


def counted(state: State, judged: Iterable[tuple[UUID, Judge]]) -> list[Judgement]:
    """Return the successful comparisons of a batch, each once and with its judge, in the order of submission."""
    judges: dict[UUID, Judge] = {}
    for correlation_id, judge in judged:
        # The first one is the one that counted; what came after it was a duplicate or late.
        judges.setdefault(correlation_id, judge)
    return [
        Judgement(comparison.essay_a, comparison.essay_b, answer.winner, judges.get(comparison.correlation_id))
        for wave in state.waves
        for comparison in wave.comparisons
        if (answer := wave.answers.get(comparison.correlation_id)) is not None and answer.winner is not None
    ]


def _kept(essay: EssayDiagnostics) -> EssayFitStatistics:
    error = essay.within_part_error
    return EssayFitStatistics(
        essay_id=essay.essay_id,
        infit=essay.infit,
        outfit=essay.outfit,
        part=essay.part,
        within_part_error=error if isfinite(error) else None,
    )
