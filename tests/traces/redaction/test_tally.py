"""The summary that is counted line by line is the one that is made of the models."""

from __future__ import annotations

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.traces.intake import read_message
from cj_pipeline.traces.redaction.tally import Tally
from cj_pipeline.traces.summary import summarise
from cj_pipeline.traces.wire_callback import WireCallback
from tests.traces.folders import SCENARIOS, TRACES
from tests.traces.planted import plant


def messages_of(source: str) -> list[bytes]:
    return plant()[0] if source == "planted" else (TRACES / source / "llm_callbacks.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize("source", [*SCENARIOS, "planted"])
def test_a_tally_is_a_summary(source: str) -> None:
    tally = Tally()
    models = []
    for message in messages_of(source):
        read, event = read_message(message), parse_callback(message)
        if isinstance(read, WireCallback) and isinstance(event, CallbackEvent):
            tally.add(read, read.data.error_code)
            models.append(event.data)
    assert models
    assert tally.summary("s") == summarise(models, "s")


def test_a_repeated_request_is_no_second_answer() -> None:
    tally = Tally()
    (message,) = plant()[0][:1]
    read = read_message(message)
    assert isinstance(read, WireCallback)
    tally.add(read, None)
    tally.add(read, None)
    assert (tally.callbacks, tally.unusable) == (1, 1)
    assert tally.summary("s").total_events == 1


def test_nothing_adds_up_to_nothing() -> None:
    assert Tally().summary("s") == summarise([], "s")
