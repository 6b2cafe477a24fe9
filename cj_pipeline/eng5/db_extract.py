"""This module extracts a finished batch from the CJ database, as JSON under the keys that its readers know."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any

from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.traces.importing.cj_database import cj_rows
from cj_pipeline.traces.importing.cj_tables import BatchRows

OUTPUT_FORMAT = "json"


def extract(url: str | None, batch: str, folder: Path) -> dict[str, Any]:
    """Write the extract of a batch into a folder, and return what the artefact says of it.

    url: of the database. A failure is no error of the run, which is over: it is in what is returned.
    """
    began = monotonic()
    outcome: dict[str, Any] = {"batch_completed": True, "batch_uuid": batch, "output_format": OUTPUT_FORMAT}
    try:
        if url is None:
            raise CjPipelineError("where the CJ database is, CJ_ASSESSMENT_SERVICE_DATABASE_URL says; it is not set.")
        document = extracted(cj_rows(url, batch))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "cj_batch.json"
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    except (CjPipelineError, OSError) as error:
        outcome |= {"status": "failed", "output_path": None, "exit_code": 2, "error": str(error)}
    else:
        outcome |= {"status": "succeeded", "output_path": str(path), "exit_code": 0, "error": None}
    return outcome | {"duration_seconds": round(monotonic() - began, 3)}


def extracted(rows: BatchRows) -> dict[str, Any]:
    """Return a batch's rows. A comparison without a winner counts for nobody."""
    wins: Counter[str] = Counter()
    losses: Counter[str] = Counter()
    for pair in rows.pairs:
        sides = {"essay_a": pair["essay_a_els_id"], "essay_b": pair["essay_b_els_id"]}
        if pair["winner"] in sides:
            winner = sides.pop(pair["winner"])
            wins[winner] += 1
            losses[next(iter(sides.values()))] += 1
    essays = [row["els_essay_id"] for row in rows.essays]
    return {
        "batch_info": dict(rows.upload),
        "batch_state": dict(rows.state),
        "comparisons": [dict(row) for row in rows.pairs],
        "bradley_terry_stats": [dict(row) for row in rows.essays],
        "wins_losses": {
            essay: {"wins": wins[essay], "losses": losses[essay], "total": wins[essay] + losses[essay]}
            for essay in essays
        },
    }
