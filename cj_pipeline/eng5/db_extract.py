"""This module extracts a finished batch from the CJ database, as JSON under the keys that its readers know."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic
from typing import Any

from cj_pipeline.eng5.diagnostics.extract import extracted
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.traces.importing.cj_database import cj_rows
from cj_pipeline.warehouse.files import write_output

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
        write_output(path, json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
    except (CjPipelineError, OSError) as error:
        outcome |= {"status": "failed", "output_path": None, "exit_code": 2, "error": str(error)}
    else:
        outcome |= {"status": "succeeded", "output_path": str(path), "exit_code": 0, "error": None}
    return outcome | {"duration_seconds": round(monotonic() - began, 3)}
