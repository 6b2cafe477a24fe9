"""This module makes rows of every dataset from its declaration, so that a new dataset or column is tested at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from cj_pipeline.warehouse.origin import Origin, SideAnswers
from cj_pipeline.warehouse.publishing import publish
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.schemas import PARTS, SCHEMAS, TIMESTAMP

VALUES: dict[pa.DataType, tuple[Any, Any]] = {
    pa.string(): ("Ärlig text, 'quoted'", ""),
    pa.binary(): (b"\x00\xff", b""),
    pa.bool_(): (True, False),
    pa.int32(): (2**31 - 1, -1),
    pa.int64(): (2**63 - 1, 0),
    pa.float64(): (-0.025, 1e300),
    TIMESTAMP: (datetime(2025, 11, 1, 12, 0, 0, 123456, tzinfo=UTC), datetime(1999, 12, 31, tzinfo=UTC)),
}


def row(dataset: str, which: int = 0, **values: Any) -> dict[str, Any]:
    """A full row as it is given to `write`; `which` chooses between two values per column."""
    return {field.name: VALUES[field.type][which] for field in SCHEMAS[dataset] if field.name != "run_id"} | values


def metric(scenario_id: str, value: float = 1.0) -> dict[str, Any]:
    """A row of the smallest dataset."""
    return row("service_metrics", scenario_id=scenario_id, value=value)


def origin(answers: str = "a1", *, trial: bool = False, sides: Sequence[str] = ("recorded", "live")) -> Origin:
    """Where a part comes from: the answers of a judge of the same name."""
    given = SideAnswers(judge=f"judge of {answers}", judge_sha256="0f", seed=42, answers_sha256=answers)
    return Origin(answers=dict.fromkeys(sides, given), trial=trial)


def made(run: RunFolder, rows: Mapping[str, list[dict[str, Any]]] | None = None, *, trial: bool = False) -> RunFolder:
    """A run with every part there is. rows: by dataset; no rows otherwise, but one report."""
    given = {"parity_reports": [row("parity_reports", scenario_id=run.scenario_id, verdict="PARITY")], **(rows or {})}
    for dataset, parts in PARTS.items():
        for number, part in enumerate(parts):
            run.write(dataset, part, given.get(dataset, []) if number == 0 else [], origin(trial=trial))
    return run


def published(run: RunFolder, rows: Mapping[str, list[dict[str, Any]]] | None = None) -> RunFolder:
    """A whole run that people look at."""
    publish(made(run, rows), scenario_folder(run.root, run.scenario_id))
    return run


def scenario_folder(root: Path, scenario_id: str) -> Path:
    """The folder of a scenario, which makes it one that exists."""
    folder = root.parent / "traces" / scenario_id
    folder.mkdir(parents=True, exist_ok=True)
    return folder
