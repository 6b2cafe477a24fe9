"""What the engine says to the service: production's metadata, and a prompt that does not say who is judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from cj_pipeline.contracts.comparison import ComparisonRequest, LLMConfigOverrides
from cj_pipeline.contracts.enums import LLMBatchingMode, OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.engine.state import Comparison, WaveKind
from cj_pipeline.engine.waves.requests import comparison_request
from tests.engine.batches import batch

ANCHOR, STUDENT = "ANCHOR_F+1_a3b4c5d6", "student-bergstrom"
ALWAYS = {"essay_a_id", "essay_b_id", "bos_batch_id", "cj_batch_id", "cj_source", "cj_request_type"}
HINTS = {"cj_llm_batching_mode", "preferred_bundle_size", "comparison_iteration"}
MOCK = LLMConfigOverrides(provider_override=Provider.MOCK)


def request(
    wave_size: int = 2, overrides: LLMConfigOverrides = MOCK, iteration: int = 0, **settings: object
) -> ComparisonRequest:
    return comparison_request(
        Comparison(UUID(int=5), ANCHOR, STUDENT, WaveKind.COVERAGE, iteration),
        batch=batch(2, **settings),
        wave_size=wave_size,
        texts={ANCHOR: "Once upon a time.", STUDENT: "It was raining."},
        overrides=overrides,
        callback_topic="results",
    )


def on_the_wire(sent: ComparisonRequest) -> dict[str, Any]:
    """Metadata as it is posted."""
    return sent.model_dump(mode="json", exclude_none=True)["metadata"]


def test_metadata_has_exactly_productions_keys() -> None:
    assert on_the_wire(request()) == {
        "essay_a_id": ANCHOR,
        "essay_b_id": STUDENT,
        "bos_batch_id": "bos-1",
        "cj_batch_id": "19",  # production sends the number as text
        "cj_source": "els",
        "cj_request_type": "cj_comparison",
        "cj_llm_batching_mode": "serial_bundle",
        "preferred_bundle_size": 2,
        "comparison_iteration": 0,  # the first wave is number 0
    }


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        ({}, ALWAYS | HINTS),
        ({"enable_llm_batching_metadata_hints": False}, ALWAYS),
        ({"llm_batching_mode": "per_request"}, ALWAYS | HINTS - {"comparison_iteration"}),
        ({"llm_batching_mode": "provider_batch_api"}, ALWAYS | HINTS),
        ({"max_iterations": 1}, ALWAYS | HINTS - {"comparison_iteration"}),
        ({"max_iterations": 2}, ALWAYS | HINTS),
        ({"min_comparisons_for_stability_check": 0}, ALWAYS | HINTS - {"comparison_iteration"}),
        ({"min_comparisons_for_stability_check": 1}, ALWAYS | HINTS),
    ],
)
def test_hints_that_do_not_apply_are_absent_and_not_null(settings: dict[str, object], keys: set[str]) -> None:
    metadata = request(**settings).metadata
    assert set(metadata) == keys
    assert None not in metadata.values()


def test_effort_and_verbosity_are_echoed_only_where_they_were_asked_for() -> None:
    asked = MOCK.model_copy(
        update={"reasoning_effort": ReasoningEffort.LOW, "output_verbosity": OutputVerbosity.MEDIUM}
    )
    metadata = request(overrides=asked).metadata
    assert (metadata["reasoning_effort"], metadata["output_verbosity"]) == ("low", "medium")
    assert not {"reasoning_effort", "output_verbosity"} & set(request().metadata)


@pytest.mark.parametrize(("wave_size", "hint"), [(1, 1), (64, 64), (65, 64), (435, 64)])
def test_the_bundle_hint_is_the_wave_up_to_64(wave_size: int, hint: int) -> None:
    assert request(wave_size).metadata["preferred_bundle_size"] == hint


def test_a_later_wave_carries_its_number() -> None:
    assert request(iteration=3).metadata["comparison_iteration"] == 3


def retried(**settings: object) -> dict[str, Any]:
    """Metadata of the second retry of a comparison, in wave 4."""
    first = UUID(int=5)
    again = Comparison(UUID(int=6), ANCHOR, STUDENT, WaveKind.COVERAGE, 4, retry_count=2, retry_of=first)
    return comparison_request(
        again,
        batch=batch(2, **settings),
        wave_size=2,
        texts={ANCHOR: "Once upon a time.", STUDENT: "It was raining."},
        overrides=MOCK,
        callback_topic="results",
    ).metadata


def test_only_a_retry_is_called_one() -> None:
    # In production every wave but the first is.
    assert request(iteration=3).metadata["cj_request_type"] == "cj_comparison"
    assert retried()["cj_request_type"] == "cj_retry"


def test_a_retry_has_a_wave_number_under_a_key_of_its_own() -> None:
    assert "comparison_iteration" not in retried()
    assert retried()["retry_iteration"] == 4
    assert "retry_iteration" not in request(iteration=4).metadata
    assert set(retried(enable_llm_batching_metadata_hints=False)) == ALWAYS


def test_the_mode_in_the_hint_is_the_batchs_and_the_rule_of_the_number_the_settings() -> None:
    resolved = replace(
        batch(2, llm_batching_mode="per_request"), resolved_batching_mode=LLMBatchingMode.PROVIDER_BATCH_API
    )
    metadata = comparison_request(
        Comparison(UUID(int=5), ANCHOR, STUDENT, WaveKind.COVERAGE, 0),
        batch=resolved,
        wave_size=1,
        texts={ANCHOR: "Once upon a time.", STUDENT: "It was raining."},
        overrides=MOCK,
        callback_topic="results",
    ).metadata
    assert metadata["cj_llm_batching_mode"] == "provider_batch_api"
    assert "comparison_iteration" not in metadata


def test_the_prompt_holds_both_texts_in_order_and_no_name() -> None:
    sent = request()
    assert sent.user_prompt.index("Once upon a time.") < sent.user_prompt.index("It was raining.")
    for name in (ANCHOR, STUDENT, "ANCHOR", "F+1", "bergstrom", "bos-1"):
        assert name not in sent.user_prompt


def test_the_prompt_is_its_blocks_joined_by_a_blank_line() -> None:
    sent = request()
    assert sent.prompt_blocks is not None
    assert sent.user_prompt == "\n\n".join(block.content for block in sent.prompt_blocks)
    # Essays change from call to call; only the instructions can be cached.
    assert [block.cacheable for block in sent.prompt_blocks] == [False, False, True]


def test_the_request_is_found_again_by_its_correlation_id() -> None:
    sent = request()
    assert (sent.correlation_id, sent.callback_topic) == (UUID(int=5), "results")
    assert sent.llm_config_overrides == MOCK
