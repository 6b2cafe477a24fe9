"""Recorded callbacks for the tests of this room, and a mode file that replays them.

Here: builders. Not here: assertions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.mode import Mode

SECTIONS = {
    "winner": "{model: replay, callbacks: trace.jsonl}",
    "latency": "{model: replay, callbacks: trace.jsonl}",
    "prompt": "{model: replay, callbacks: trace.jsonl}",
    "completion": "{model: replay, callbacks: trace.jsonl}",
    "confidence": "{model: replay, callbacks: trace.jsonl}",
}


def recorded(number: int, essay_a: str = "a", essay_b: str = "b", winner: str = "Essay A", **data: Any) -> str:
    """A line of a trace whose figures all follow from its number: latency, tokens, confidence."""
    identity = str(keyed_uuid("tests", "recorded", number))
    result = {
        "request_id": f"queue-{number}",
        "correlation_id": identity,
        "winner": winner,
        "justification": "Quotes the essay: my summer in Visby.",
        "confidence": 1.0 + number / 100,
        "provider": "openai",
        "model": "gpt-5.1",
        "response_time_ms": 1000 + number,
        "token_usage": {
            "prompt_tokens": 2000 + number,
            "completion_tokens": 30 + number,
            "total_tokens": 2030 + 2 * number,
        },
        "cost_estimate": 0.01,
        "requested_at": "2025-12-01T12:00:00Z",
        "completed_at": "2025-12-01T12:00:02Z",
        "request_metadata": {"essay_a_id": essay_a, "essay_b_id": essay_b},
    }
    event = {
        "event_id": identity,
        "event_type": "LLMComparisonResultV1",
        "event_timestamp": "2025-12-01T12:00:02Z",
        "source_service": "llm_provider_service",
        "correlation_id": identity,
        "data": result | data,
    }
    return json.dumps(event)


def failed(number: int, essay_a: str, essay_b: str, code: str = "TIMEOUT", **details: Any) -> str:
    """A line of a trace that records a failure."""
    error = {
        "error_code": code,
        "message": "Could not read: my summer in Visby.",
        "correlation_id": str(keyed_uuid("tests", "recorded", number)),
        "timestamp": "2025-12-01T12:00:02Z",
        "service": "llm_provider_service",
        "operation": "process_comparison",
        "details": details,
    }
    nothing = {"winner": None, "justification": None, "confidence": None, "response_time_ms": 0, "cost_estimate": 0.0}
    billed = {"token_usage": dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0)}
    return recorded(number, essay_a, essay_b, **(nothing | billed | {"error_detail": error}))


def write_mode(folder: Path, lines: list[str], **sections: str) -> Path:
    """A trace and a mode file beside it that replays all of it, apart from the sections given."""
    (folder / "trace.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    said = SECTIONS | sections
    path = folder / "mode.yaml"
    path.write_text(
        "schema_version: 1\n"
        "name: replayed\n"
        "description: A recorded trace.\n"
        f"winner: {said['winner']}\n"
        f"latency: {said['latency']}\n"
        "tokens:\n"
        f"  prompt: {said['prompt']}\n"
        f"  completion: {said['completion']}\n"
        f"confidence: {said['confidence']}\n",
        encoding="utf-8",
    )
    return path


def replaying(folder: Path, lines: list[str], **sections: str) -> Mode:
    """The mode of such a file."""
    return load_mode(str(write_mode(folder, lines, **sections)))
