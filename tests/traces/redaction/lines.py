"""A redaction for tests, and callbacks through it as dicts. Not here: any assertion."""

from __future__ import annotations

import json
from typing import Any

from cj_pipeline.traces.intake import read_message
from cj_pipeline.traces.redaction.policy import RedactionPolicy
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.wire_callback import WireCallback

KEY = bytes(range(32))


def redaction(**policy: Any) -> Redaction:
    return Redaction(RedactionPolicy.model_validate(policy), Pseudonyms(KEY))


def callback(event: dict[str, Any]) -> WireCallback:
    read = read_message(json.dumps(event).encode())
    assert isinstance(read, WireCallback), read
    return read


def redacted(event: dict[str, Any], by: Redaction | None = None) -> dict[str, Any]:
    line: dict[str, Any] = json.loads((by or redaction()).line(callback(event)))
    return line
