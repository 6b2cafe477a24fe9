"""ENG5 artefacts made from committed traces, to be spoilt. Not here: assertions."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from cj_pipeline.traces.store import read_trace
from tests.traces.folders import LOWER5, TRACES


def artefact_of(scenario_id: str = LOWER5) -> dict[str, Any]:
    """The artefact that the runner would have written of a trace, with every block of the schema."""
    trace = read_trace(TRACES / scenario_id)
    events = [recorded.event.data for recorded in trace.callbacks.events]
    items = trace.scenario.net.items
    return {
        "schema_version": "1.0.0",
        "metadata": {
            "assignment_id": "assignment",
            "course_id": "course",
            "grade_scale": "eng5_np_legacy_9_step",
            "runner_version": "0.1.0",
            "git_sha": "abcdef0",
            "generated_at": "2025-12-02T00:20:00Z",
            "runner_mode": "execute",
            "batch_uuid": trace.scenario.batch.bos_batch_id,
            "batch_id": "eng5-gpt51-lower5",
            "course_code": "ENG5",
            "llm_config_overrides": {"reasoning_effort": "low", "output_verbosity": "low", "temperature_override": 0.1},
        },
        "inputs": {
            "instructions": {"source_path": "i.md", "checksum": "0" * 64, "content": ""},
            "prompt_reference": {"source_path": "p.md", "checksum": "0" * 64, "content": ""},
            "anchors": [
                {
                    "anchor_id": item.id.removeprefix("student::"),
                    "file_name": f"{item.label}.docx",
                    "grade": item.grade,
                    "source_path": f"/data/{item.label}.docx",
                    "checksum": "0" * 64,
                }
                for item in items
            ],
            "students": [],
        },
        "llm_comparisons": [
            {
                "sequence": number,
                "correlation_id": str(event.correlation_id),
                "winner_id": event.winning_essay(),
                "loser_id": next(essay for essay in event.essay_ids() if essay != event.winning_essay()),
                "prompt_hash": event.request_metadata["prompt_sha256"],
                "provider": event.provider.value.upper(),
                "model": event.model,
                "tokens_prompt": event.token_usage.prompt_tokens,
                "tokens_completion": event.token_usage.completion_tokens,
                "cost_usd": event.cost_estimate,
                "started_at": event.requested_at.isoformat(),
                "completed_at": event.completed_at.isoformat(),
                "status": "succeeded",
                "request_id": event.request_id,
                "essay_a_id": event.essay_ids()[0],
                "essay_b_id": event.essay_ids()[1],
                "confidence": event.confidence,
                "justification": event.justification,
                "error_code": None,
            }
            for number, event in enumerate(events, start=1)
        ],
        "bt_summary": [
            {
                "essay_id": item.id,
                "theta": float(-place),
                "standard_error": 0.0,
                "rank": place,
                "comparison_count": len(events),
                "is_anchor": False,
                "anchor_grade": None,
            }
            for place, item in enumerate(items, start=1)
        ],
        "grade_projections": [],
        "costs": {"total_usd": 0.1, "token_counts": []},
        "validation": {
            "artefact_checksum": "",
            "manifest": [],
            "cli_environment": {"python": "3.11", "pdm": "2", "os": "linux", "docker_compose": "2"},
            "runner_status": {
                "partial_data": False,
                "timeout_seconds": 1800,
                "observed_events": {"llm_comparisons": len(events), "assessment_results": 1, "completions": 1},
            },
        },
    }


def write_artefact(path: Path, artefact: dict[str, Any]) -> Path:
    """Write it with the checksum that the runner writes."""
    artefact["validation"]["artefact_checksum"] = ""
    digest = sha256(json.dumps(artefact, indent=2).encode()).hexdigest()
    artefact["validation"]["artefact_checksum"] = digest
    path.write_text(json.dumps(artefact, indent=2))
    return path
