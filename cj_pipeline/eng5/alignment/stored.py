"""This module makes the warehouse's rows of an alignment, and the JSON that commands print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from cj_pipeline.eng5.alignment.case import AlignmentCase
from cj_pipeline.eng5.alignment.result import AlignmentResult, GradedAnchor, Interval
from cj_pipeline.eng5.alignment.targets import targets
from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.runs.record import Side
from cj_pipeline.warehouse.run_folder import RunFolder


def store_alignment(run: RunFolder, side: Side, case: AlignmentCase, result: AlignmentResult | None) -> DataPath:
    """Write one row per graded essay; no rows where there is no alignment."""
    rows = [
        {"scenario_id": run.scenario_id, "side": side.value, **anchor_row(anchor, case.labels)}
        for anchor in (() if result is None else result.anchors)
    ]
    return run.write("alignment", side, rows, run.origin(("runs", side)))


def anchor_row(anchor: GradedAnchor, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return one graded essay as the warehouse and the JSON show it. labels: by essay id."""
    aligned = anchor.aligned
    return {
        "essay_id": aligned.essay_id,
        "label": labels[aligned.essay_id],
        "grade": aligned.grade,
        "theta": aligned.theta,
        "standard_error": anchor.standard_error,
        "rank": aligned.rank,
        "expected_rank": aligned.expected_rank,
        "wins": aligned.wins,
        "losses": aligned.losses,
        "win_rate": aligned.win_rate,
    }


def result_document(case: AlignmentCase, result: AlignmentResult) -> dict[str, Any]:
    """Return a result in JSON values. tau_a, tau_b: None where they are not defined."""
    labels = case.labels
    found = targets(result)
    return {
        "source": case.source,
        "judge": case.judge,
        "targets_missed": [target.measure for target in found if not target.met],
        "targets": [asdict(target) | {"verdict": target.verdict} for target in found],
        "tau_a": None if result.tau_a is None else result.tau_a.value,
        "tau_a_interval": None if result.tau_a is None else _range(result.tau_a.interval),
        "tau_a_repeat": None if result.tau_a is None else _range(result.tau_a.repeat),
        "tau_b": None if result.tau_b is None else result.tau_b.value,
        "tau_b_interval": None if result.tau_b is None else _range(result.tau_b.interval),
        "inversions": [
            {**asdict(pair), "higher": labels[pair.higher], "lower": labels[pair.lower]} for pair in result.inversions
        ],
        "zero_win": [labels[essay] for essay in result.zero_win],
        "never_compared": [labels[essay] for essay in result.never_compared],
        "ab_inversions": result.ab_inversions,
        "ab_regression": result.ab_regression,
        "judged": result.judged,
        "failed": result.failed,
        "anchors": [anchor_row(anchor, labels) for anchor in result.anchors],
    }


def _range(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
