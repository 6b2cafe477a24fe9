"""This module makes a redaction for tests, and puts callbacks through it as dicts."""

from __future__ import annotations

import json
from typing import Any

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.redaction_policy import RedactionPolicy

KEY = bytes(range(32))


def redaction(**policy: Any) -> Redaction:
    return Redaction(RedactionPolicy.model_validate(policy), Pseudonyms(KEY))


def callback(event: dict[str, Any]) -> CallbackEvent:
    read = parse_callback(json.dumps(event).encode())
    assert isinstance(read, CallbackEvent), read
    return read


def redacted(event: dict[str, Any], by: Redaction | None = None) -> dict[str, Any]:
    line: dict[str, Any] = json.loads((by or redaction()).line(callback(event)))
    return line
