"""This module makes rows of a history, a run each night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cj_pipeline.warehouse.schemas import HISTORY_SCHEMA

FIRST = datetime(2026, 1, 1, 3, tzinfo=UTC)


def night(number: int, difference: float | None, check: str = "position_effect", **values: Any) -> dict[str, Any]:
    """The row of one check in one night; every night has answers of its own."""
    row: dict[str, Any] = dict.fromkeys(HISTORY_SCHEMA.names, "same")
    return {
        **row,
        "run_id": f"r{number:03}",
        "scenario_id": "anchors",
        "time": FIRST + timedelta(days=number),
        "seed": number,
        "answers_sha": f"{number:04}",
        "check": check,
        "verdict": "pass",
        "unit": "logits",
        "difference": difference,
        "run_verdict": "PARITY",
        "expected_verdict": "PARITY",
        **values,
    }


def nights(differences: Sequence[float], **values: Any) -> list[Mapping[str, Any]]:
    """One check over some nights."""
    return [night(number, difference, **values) for number, difference in enumerate(differences)]
