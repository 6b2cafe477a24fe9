"""A stored state continues as if it had never been put away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.engine.engine import advance, start
from cj_pipeline.engine.intake import Delivery, MalformedCallback
from cj_pipeline.engine.state import State
from cj_pipeline.engine.stored import UnreadableState, from_json, to_json
from cj_pipeline.engine.waves.plan import plan_of
from tests.engine.batches import batch, callback, coin_decides, fails_in, higher_item_wins, orphan, run, waves_in
from tests.engine.test_retry_pool import as_recorded

JUDGES = [higher_item_wins, coin_decides, fails_in(0.4)]
MODES = ["serial_bundle", "provider_batch_api"]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.sampled_from(JUDGES), st.sampled_from(MODES), st.data())
def test_a_restored_state_continues_identically(number: int, judge: Any, mode: str, data: st.DataObject) -> None:
    asked = batch(number, max_pairwise_comparisons=24, failed_comparison_retry_threshold=2, llm_batching_mode=mode)
    kept, effects = start(asked)
    stored = from_json(to_json(kept))
    while waves := waves_in(effects):
        effects = ()
        messages: list[Delivery] = [callback(comparison, judge(comparison)) for comparison in waves[0].comparisons]
        again = data.draw(st.lists(st.sampled_from(messages), max_size=2))
        for message in [*data.draw(st.permutations([*messages, *again])), orphan(3)]:
            kept, more = advance(kept, [message])
            stored, same = advance(stored, [message])
            assert same == more
            effects += more
            if data.draw(st.booleans(), label="put away"):
                stored = from_json(to_json(stored))
                assert stored == kept
    assert to_json(stored) == to_json(kept)


def test_a_plan_and_everything_a_callback_can_be_survive() -> None:
    plan = plan_of(as_recorded(run(batch(4), fails_in(0.3))), keep_ids=True)
    state, effects = start(batch(4, plan=plan))
    deliveries: list[Delivery] = [MalformedCallback(waves_in(effects)[0].comparisons[0].correlation_id), orphan(1)]
    state, _ = advance(state, deliveries)
    assert (state.malformed_callbacks, state.orphan_callbacks) == (1, 1)
    assert from_json(to_json(state)) == state


def unfinished() -> State:
    state, effects = start(batch(4))
    first = waves_in(effects)[0].comparisons[0]
    return advance(state, [callback(first, first.essay_a)])[0]


def edited(edit: Any) -> str:
    document = json.loads(to_json(unfinished()))
    edit(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "Invalid JSON"),
        ("{}", "batch: Field required"),
        (edited(lambda d: d.update(version=2)), "is version 2 of the state of a batch, which a newer"),
        (
            edited(lambda d: d.update(version=0)),
            "is version 0 of the state of a batch; this cj-pipeline reads version 1",
        ),
        (edited(lambda d: d.update(total=9)), "total: Extra inputs are not permitted"),
        (edited(lambda d: d["batch"].update(max_pairs_requested=0)), "a budget of 0 comparisons"),
        (edited(lambda d: d.update(status="COMPLETED")), "a finished batch has nothing in flight"),
        (edited(lambda d: d["waves"].append(d["waves"][0])), "correlation ids are unique"),
        (edited(lambda d: d["pool"]["statistics"].update(total_failed=5)), "every failure is in the pool"),
    ],
)
def test_what_is_no_state_is_refused_by_its_place(text: str, named: str) -> None:
    with pytest.raises(UnreadableState) as caught:
        from_json(text)
    assert named in str(caught.value)
    remedies = (
        "Restore it from an older copy",
        "Ask for at least one",
        "Upgrade cj-pipeline",
        "Use the version of cj-pipeline that wrote it",
    )
    assert any(remedy in str(caught.value) for remedy in remedies)


def test_a_complaint_does_not_quote_what_was_stored() -> None:
    with pytest.raises(UnreadableState) as caught:
        from_json(edited(lambda d: d["batch"].update(items="once upon a time")))
    assert "once upon" not in str(caught.value)
