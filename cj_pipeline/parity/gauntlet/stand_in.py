"""This module makes a live side of a recording, for a file that has no mode: what a mock without a fault would send."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.parity.gauntlet.edits import data_of, document_of
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, live_batch_id, live_batch_ids, replay
from cj_pipeline.traces.scenario import Scenario

_RECORDING = JudgeIdentity("the recording itself", "")


def stand_in(scenario: Scenario, events: Sequence[CallbackEvent]) -> RunRecord:
    """Return the recorded callbacks as a live run of the scenario, with ids of their own, and its repeats."""
    batches = [events]
    if (wanted := scenario.live.repeats) is not None:
        batches += [list(islice(cycle(events), wanted.comparisons))] * wanted.batches
    first, *repeats = (
        tuple(_as_asked(scenario, event, number, place) for place, event in enumerate(batch))
        for number, batch in enumerate(batches)
    )
    return replay(
        scenario,
        first,
        side=Side.LIVE,
        judge=_RECORDING,
        repeats=tuple(repeats),
        asked_batch_ids=live_batch_ids(scenario, len(repeats)),
    )


def _as_asked(scenario: Scenario, event: CallbackEvent, batch: int, place: int) -> CallbackEvent:
    document = document_of(event)
    data = data_of(document)
    key = (str(event.data.correlation_id), batch, place)
    # Two callbacks of one comparison stay of one comparison.
    correlation_id = str(keyed_uuid("gauntlet comparison", str(event.data.correlation_id), batch))
    data.update(request_id=str(keyed_uuid("gauntlet request", *key)), correlation_id=correlation_id)
    if document is not data:
        document.update(event_id=str(keyed_uuid("gauntlet event", *key)), correlation_id=correlation_id)
    metadata: dict[str, Any] = data["request_metadata"]
    metadata["bos_batch_id"] = live_batch_id(scenario, batch)
    if "queue_processing_mode" in metadata:
        metadata["queue_processing_mode"] = scenario.service.queue_processing_mode.value
    asked = parse_callback(json.dumps(document).encode())
    assert isinstance(asked, CallbackEvent)  # noqa: S101  (it was one, and its ids are whole)
    return asked
