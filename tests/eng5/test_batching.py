"""This module tests what a summary says of batching: as callbacks tell it, and where that is not what was asked for."""

from __future__ import annotations

import pytest

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import LLMBatchingMode
from cj_pipeline.eng5.batching import NOT_STATED, QUEUE_MODES, batching_block, batching_problem, batching_words
from cj_pipeline.eng5.diagnostics.queries import queries
from tests.eng5.answers import answer


def callbacks(*modes: str | None) -> list[LLMComparisonResultV1]:
    found = []
    for number, mode in enumerate(modes):
        one = answer("a", "b", "a", number)
        stated = {} if mode is None else {"queue_processing_mode": mode}
        found.append(one.model_copy(update={"request_metadata": {**one.request_metadata, **stated}}))
    return found


@pytest.mark.parametrize("hint", list(LLMBatchingMode))
def test_a_mode_has_its_effect_only_where_the_queue_has_its_counterpart(hint: LLMBatchingMode) -> None:
    for mode in {one.value for one in QUEUE_MODES.values()}:
        problem = batching_problem(batching_block(hint, callbacks(mode, mode)))
        assert (problem is None) is (mode == QUEUE_MODES[hint].value)
        if problem is not None:
            assert problem.startswith(f"{hint.value} was asked for, and 2 of 2 callbacks")


def test_a_queue_that_changed_its_mode_in_the_middle_is_named_without_a_hint_too() -> None:
    block = batching_block(None, callbacks("per_request", "per_request", "serial_bundle"))
    assert batching_problem(block) == ("the queue changed its mode during the run: per_request (2), serial_bundle (1).")


def test_what_callbacks_do_not_state_is_no_problem_and_no_mode() -> None:
    block = batching_block(LLMBatchingMode.SERIAL_BUNDLE, callbacks(None))
    assert block["worked_off"] == {NOT_STATED: 1}
    assert batching_problem(block) is None
    assert batching_words(block) == "Batching: asked for serial_bundle; worked off as not stated (1)."


def test_there_are_six_queries_and_the_three_job_series_for_batch_jobs() -> None:
    assert len(queries()) == len(queries(LLMBatchingMode.SERIAL_BUNDLE)) == 6
    jobs = [query for query in queries(LLMBatchingMode.PROVIDER_BATCH_API, window="6h") if "batch_api" in query]
    assert len(jobs) == 3
    assert all("[6h]" in query for query in jobs)
