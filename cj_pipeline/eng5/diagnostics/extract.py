"""This module makes one document of everything that a CJ database holds of a batch, under the keys its readers know.

Essays and prompts as they were sent are no part of it; what requests said of them is, as the service stored it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import comb
from typing import Any

from cj_pipeline.traces.importing.cj_batch import WINNERS, items_of
from cj_pipeline.traces.importing.cj_tables import BatchRows

Document = dict[str, Any]


def extracted(rows: BatchRows) -> Document:
    """Return a batch as one document. A comparison without a winner counts for nobody."""
    essays = [row["els_essay_id"] for row in rows.essays]
    wins, losses = _wins_and_losses(rows)
    known = {item.id: item for item in items_of(rows)}
    ranked = sorted(rows.essays, key=lambda row: (row["current_bt_score"] is None, -(row["current_bt_score"] or 0.0)))
    return {
        "batch_info": dict(rows.upload),
        "batch_state": {**rows.state, "max_possible_pairs_nc2": comb(len(essays), 2)},
        "comparisons": [dict(row) for row in rows.pairs],
        "bradley_terry_stats": [
            {
                "rank": None if row["current_bt_score"] is None else rank,
                **row,
                "wins": wins[row["els_essay_id"]],
                "losses": losses[row["els_essay_id"]],
                "total": wins[row["els_essay_id"]] + losses[row["els_essay_id"]],
                "known_grade": known[row["els_essay_id"]].grade,
            }
            for rank, row in enumerate(ranked, start=1)
        ],
        "grade_projections": [dict(row) for row in rows.projections],
        "wins_losses": {
            essay: {"wins": wins[essay], "losses": losses[essay], "total": wins[essay] + losses[essay]}
            for essay in essays
        },
    }


def outcome_of(pair: Mapping[str, Any]) -> str:
    """Return what became of a comparison: won, failed, or waiting for an answer."""
    if pair["winner"] in WINNERS:
        return "won"
    return "waiting" if pair["winner"] is None else "failed"


def winner_of(pair: Mapping[str, Any]) -> str | None:
    """Return the essay that won a comparison; None where none did."""
    return pair[f"{pair['winner']}_els_id"] if pair["winner"] in WINNERS else None


def _wins_and_losses(rows: BatchRows) -> tuple[Counter[str], Counter[str]]:
    wins: Counter[str] = Counter()
    losses: Counter[str] = Counter()
    for pair in rows.pairs:
        winner = winner_of(pair)
        if winner is not None:
            wins[winner] += 1
            losses[next(pair[side] for side in ("essay_a_els_id", "essay_b_els_id") if pair[side] != winner)] += 1
    return wins, losses
