"""This module computes what the answers of a batch say about its scores, its essays and its judges. None of it decides
anything.

None of it decides anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import TypeAlias

import numpy as np

from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.diagnostics import (
    PRODUCTION_THRESHOLDS,
    FlagThresholds,
    QualityFlags,
    SeSummary,
    displayed,
    quality_flags,
    se_summary,
)
from cj_pipeline.bt.fit import PRODUCTION_ALPHA, Fit, fit, neutral_fit
from cj_pipeline.bt.mean_squares import MeanSquares, group_mean_squares, item_mean_squares
from cj_pipeline.bt.pairs import FloatArray
from cj_pipeline.bt.position import PositionEffect, position_effect
from cj_pipeline.bt.reliability import Reliability, scale_separation
from cj_pipeline.bt.standard_errors import standard_errors
from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.foundation.errors import CjPipelineError

Judge: TypeAlias = tuple[str, str]
"""Provider and model."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One successful comparison in the order in which it was shown. judge: None when the answer does not say."""

    essay_a: str
    essay_b: str
    winner: str
    judge: Judge | None = None

    @property
    def loser(self) -> str:
        """Return the other one."""
        return self.essay_b if self.winner == self.essay_a else self.essay_a


@dataclass(frozen=True, slots=True)
class EssayDiagnostics:
    """One essay of the batch.

    score: logits from the centre of the batch. standard_error: of that, as displayed: 2.0 at most, which is what an
    essay has that was never compared or whose part of the net no comparison links to the rest. within_part_error: from
    the mean of its own part of the net, neither capped nor touched by other parts; inf when never compared.
    part: label of that part, 0 for the one of the smallest id. infit, outfit: mean squares, None without comparisons.
    """

    essay_id: str
    score: float
    standard_error: float
    within_part_error: float
    part: int
    wins: int
    comparison_count: int
    infit: float | None
    outfit: float | None


@dataclass(frozen=True, slots=True)
class JudgeDiagnostics:
    """One judge of the batch: how many comparisons it decided, and whether they agree with the scores."""

    provider: str
    model: str
    comparison_count: int
    infit: float
    outfit: float


@dataclass(frozen=True, slots=True)
class BatchDiagnostics:
    """A batch's scores and what is known about them.

    essays: by id. judges: by provider and model. reliability: over the essays of the largest part, None when it has
    fewer than two. position: None when the essay shown first won always or never. isolated: never compared.
    disconnected: compared, but not linked to the largest part (all of them when two parts are equally large).
    warnings: sentences for a reader; they name ids, never texts.
    """

    essays: tuple[EssayDiagnostics, ...]
    judges: tuple[JudgeDiagnostics, ...]
    se_summary: SeSummary
    quality_flags: QualityFlags
    reliability: Reliability | None
    position: PositionEffect | None
    isolated: tuple[str, ...]
    disconnected: tuple[str, ...]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return JSON values: `bt_se_summary` and `bt_quality_flags` in production's keys, infinite errors as None."""
        essays = []
        for essay in self.essays:
            row = asdict(essay)
            if not isfinite(essay.within_part_error):
                row["within_part_error"] = None
            essays.append(row)
        return {
            "bt_se_summary": self.se_summary.as_dict(),
            "bt_quality_flags": self.quality_flags.as_dict(),
            "reliability": asdict(self.reliability) if self.reliability else None,
            "position_effect": asdict(self.position) if self.position else None,
            "isolated": list(self.isolated),
            "disconnected": list(self.disconnected),
            "essays": essays,
            "judges": [asdict(judge) for judge in self.judges],
            "warnings": list(self.warnings),
        }


def judgements(callbacks: Iterable[LLMComparisonResultV1]) -> list[Judgement]:
    """Return the successful ones among callbacks, each counted: leave out duplicates before."""
    found = []
    for callback in callbacks:
        winner = callback.winning_essay()
        if winner is not None:
            essay_a, essay_b = callback.essay_ids()
            found.append(Judgement(essay_a, essay_b, winner, (str(callback.provider), callback.model)))
    return found


def diagnose(
    essays: Iterable[str],
    answers: Sequence[Judgement],
    *,
    alpha: float = PRODUCTION_ALPHA,
    thresholds: FlagThresholds = PRODUCTION_THRESHOLDS,
) -> BatchDiagnostics:
    """Score a batch and say how good the scores are. The order of essays and answers does not matter.

    alpha: strength of production's prior. A batch without answers has neutral scores with all errors at the cap.
    Raises CjPipelineError for an answer about an essay that is not in the batch.
    """
    names = sorted(set(essays))
    index = {name: position for position, name in enumerate(names)}
    # Sorted: the last digit of a sum depends on its order, and a batch must not depend on who answered first.
    rows = sorted(answers, key=lambda row: (row.essay_a, row.essay_b, row.winner, row.judge or ()))
    for row in rows:
        if row.essay_a not in index or row.essay_b not in index or row.winner not in (row.essay_a, row.essay_b):
            raise CjPipelineError(f"the answer on {row.essay_a} and {row.essay_b} is not about essays of this batch.")
    net = Comparisons([index[row.winner] for row in rows], [index[row.loser] for row in rows], len(names))
    scores = fit(net, alpha=alpha) if rows else neutral_fit(len(names))
    # A single essay's 0 is exact only because the scale begins there; nothing is known about the essay.
    from_centre = scores.standard_error if rows else np.full(len(names), np.inf)
    within_part = standard_errors(scores.theta, net, gauge="component") if rows else from_centre
    summary = se_summary(from_centre, net)
    largest = _largest_part(scores)
    outside = (scores.components != largest) & ~net.isolated
    return BatchDiagnostics(
        essays=_essays(names, net, scores, displayed(from_centre), within_part),
        judges=_judges(rows, net, scores),
        se_summary=summary,
        quality_flags=quality_flags(summary, thresholds),
        reliability=scale_separation(
            scores.theta[scores.components == largest], within_part[scores.components == largest]
        ),
        position=_position(rows, index, alpha * len(names)) if rows else None,
        isolated=tuple(np.array(names)[net.isolated].tolist()),
        disconnected=tuple(np.array(names)[outside].tolist()),
        warnings=tuple(_warnings(net, scores)),
    )


def _largest_part(scores: Fit) -> int:
    """Return the largest part's label; -1 without essays, or where two are equally large."""
    sizes = np.bincount(scores.components)
    if sizes.shape[0] == 0 or int((sizes == sizes.max()).sum()) > 1:
        return -1
    return int(sizes.argmax())


def _essays(
    names: list[str], net: Comparisons, scores: Fit, shown: FloatArray, within_part: FloatArray
) -> tuple[EssayDiagnostics, ...]:
    squares = item_mean_squares(scores.theta, net)
    infit, outfit = _without_gaps(squares)
    wins, compared = net.wins, net.comparisons_per_item
    return tuple(
        EssayDiagnostics(
            essay_id=name,
            score=float(scores.theta[item]),
            standard_error=float(shown[item]),
            within_part_error=float(within_part[item]),
            part=int(scores.components[item]),
            wins=int(wins[item]),
            comparison_count=int(compared[item]),
            infit=infit[item],
            outfit=outfit[item],
        )
        for item, name in enumerate(names)
    )


def _without_gaps(squares: MeanSquares) -> tuple[list[float | None], list[float | None]]:
    infit, outfit = (
        [float(value) if isfinite(value) else None for value in values] for values in (squares.infit, squares.outfit)
    )
    return infit, outfit


def _judges(rows: list[Judgement], net: Comparisons, scores: Fit) -> tuple[JudgeDiagnostics, ...]:
    known = sorted({row.judge for row in rows if row.judge is not None})
    if not known:
        return ()
    place = {judge: position for position, judge in enumerate(known)}
    # Answers of nobody in particular are gathered behind the known judges, and left there.
    labels = [place[row.judge] if row.judge is not None else len(known) for row in rows]
    squares = group_mean_squares(scores.theta, net, labels, len(known) + 1)
    return tuple(
        JudgeDiagnostics(
            provider=provider,
            model=model,
            comparison_count=int(squares.comparisons[position]),
            infit=float(squares.infit[position]),
            outfit=float(squares.outfit[position]),
        )
        for position, (provider, model) in enumerate(known)
    )


def _position(rows: list[Judgement], index: dict[str, int], kappa: float) -> PositionEffect | None:
    return position_effect(
        [index[row.essay_a] for row in rows],
        [index[row.essay_b] for row in rows],
        [row.winner == row.essay_a for row in rows],
        len(index),
        kappa=kappa,
    )


def _warnings(net: Comparisons, scores: Fit) -> list[str]:
    found = []
    if not net.winners.shape[0]:
        found.append("No comparison succeeded: every score is neutral.")
    isolated = int(net.isolated.sum())
    if isolated:
        found.append(f"{isolated} of {net.n_items} essays were never compared; their scores are neutral.")
    parts = int((np.bincount(scores.components) > 1).sum()) if net.n_items else 0
    if parts > 1:
        found.append(
            f"The net falls into {parts} parts that no comparison links: scores of different parts are not comparable."
        )
    return found
