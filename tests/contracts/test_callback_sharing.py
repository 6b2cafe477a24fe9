"""Events that were read share what is equal, and a changed copy leaves the others alone."""

from __future__ import annotations

from cj_pipeline.contracts.callback import CallbackEvent, callback_json, parse_callback
from tests.sides import ANCHORS, trace


def read_twice() -> tuple[CallbackEvent, CallbackEvent]:
    raw = trace(ANCHORS).callbacks.events[0].raw
    one, other = parse_callback(raw), parse_callback(raw)
    assert isinstance(one, CallbackEvent)
    assert isinstance(other, CallbackEvent)
    return one, other


def test_events_share_the_sets_of_fields_that_they_came_with() -> None:
    one, other = read_twice()
    assert one.data.__pydantic_fields_set__ is other.data.__pydantic_fields_set__
    assert one.__pydantic_extra__ is other.__pydantic_extra__


def test_a_changed_copy_of_one_event_changes_no_other() -> None:
    one, other = read_twice()
    before = callback_json(other)
    changed = one.model_copy(update={"schema_version": 2, "unheard_of": 1})
    assert b'"unheard_of":1' in callback_json(changed)
    assert callback_json(one) == callback_json(other) == before
