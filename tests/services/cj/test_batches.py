"""A request on the bus becomes a batch, and the batch its events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from cj_pipeline.contracts.cj_events import (
    ASSESSMENT_RESULT_TOPIC,
    CJ_COMPLETED_TOPIC,
    CJ_FAILED_TOPIC,
    RESOURCE_CONSUMPTION_TOPIC,
)
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.intake.assignments import Instructions, register_anchor, register_instructions
from cj_pipeline.services.cj.store.tables import (
    batch_states,
    batch_uploads,
    comparison_pairs,
    grade_projections,
    processed_essays,
    quarantined_messages,
)
from tests.services.cj.lab import OUTPUTS, World, request, world

SCALE = ("F", "E", "D", "D+", "C", "C+", "B", "A")


async def with_assignment(
    w: World, assignment_id: str = "assignment-1", scale: str = "swedish_8_anchor", grades: tuple[str, ...] = SCALE
) -> None:
    async with w.database.transaction() as transaction:
        await register_instructions(
            transaction,
            Instructions("Reward ideas.", scale, "research_experiment", assignment_id, None, "prompt-1", "rubric-1"),
            w.clock,
        )
        for grade in grades:
            await register_anchor(
                transaction,
                assignment_id=assignment_id,
                anchor_label=None,
                grade=grade,
                grade_scale=scale,
                text_storage_id=f"anchor-text-{grade}",
                clock=w.clock,
            )


async def completed(w: World, *requests: bytes) -> dict[str, Any]:
    """Ask, run a service until the last batch is over, and give back its thin event."""
    await w.ask(*requests)
    async with w.service():
        thin = await w.next_event(CJ_COMPLETED_TOPIC, len(requests) - 1)
        await asyncio.sleep(1.0)  # it is not the last event of its batch
        return thin


@pytest.mark.parametrize(
    ("essays", "comparisons", "status"), [(5, 20, "COMPLETE_MAX_COMPARISONS"), (24, 120, "COMPLETE_STABLE")]
)
def test_a_guests_batch_ends_in_its_three_events(essays: int, comparisons: int, status: str) -> None:
    # 5 essays: 10 pairs, and one pass of resampling; 24: the budget of 120.
    async def script() -> None:
        async with world() as w:
            thin = await completed(w, request(essays))
            assert w.published() == dict(zip(OUTPUTS, (1, 1, 0, 1), strict=True))
            summary = thin["data"]["processing_summary"]
            assert thin["data"]["status"] == "completed_successfully"
            assert (summary["total_essays"], summary["successful"], summary["failed"]) == (essays, essays, 0)
            (rich,) = w.events(ASSESSMENT_RESULT_TOPIC)
            assert len(rich["data"]["essay_results"]) == essays
            assert rich["data"]["assessment_metadata"]["comparison_count"] == comparisons
            assert {essay["letter_grade"] for essay in rich["data"]["essay_results"]} == {"U"}
            (consumed,) = w.events(RESOURCE_CONSUMPTION_TOPIC)
            assert consumed["data"]["quantity"] == comparisons
            assert {event["correlation_id"] for event in (thin, rich, consumed)} == {
                json.loads(request(essays))["correlation_id"]
            }
            (upload,), (state,) = await w.rows(batch_uploads), await w.rows(batch_states)
            assert (upload["status"], state["state"]) == (status, "COMPLETED")
            assert state["submitted_comparisons"] == state["completed_comparisons"] == comparisons
            assert set(w.lps.posts.values()) == {1}

    run_virtual(script())


def test_scores_in_the_rows_are_those_in_the_events() -> None:
    async def script() -> None:
        async with world("cj_generic_batch") as w:
            await completed(w, request(5))
            rows = {row["els_essay_id"]: row for row in await w.rows(processed_essays)}
            (rich,) = w.events(ASSESSMENT_RESULT_TOPIC)
            for essay in rich["data"]["essay_results"]:
                assert rows[essay["essay_id"]]["current_bt_score"] == essay["bt_score"]
            pairs = await w.rows(comparison_pairs)
            assert sum(row["comparison_count"] for row in rows.values()) == 2 * len(pairs) == 40
            assert {pair["winner"] for pair in pairs} <= {"essay_a", "essay_b"}
            assert {pair["pair_generation_mode"] for pair in pairs} == {"coverage", "resampling"}
            (state,) = await w.rows(batch_states)
            assert state["processing_metadata"]["bt_scores"] == {
                name: row["current_bt_score"] for name, row in rows.items()
            }
            assert state["processing_metadata"]["bt_se_summary"]["comparison_count"] == 20

    run_virtual(script())


def test_an_assignments_students_get_grades_and_its_anchors_keep_theirs() -> None:
    async def script() -> None:
        async with world("eng5_anchor_gpt51_low") as w:
            await with_assignment(w)
            await completed(w, request(4, assignment_id="assignment-1"))
            (rich,) = w.events(ASSESSMENT_RESULT_TOPIC)
            anchors = [essay for essay in rich["data"]["essay_results"] if essay["is_anchor"]]
            assert sorted(essay["letter_grade"] for essay in anchors) == sorted(SCALE)
            assert {essay["display_name"] for essay in anchors} == {f"ANCHOR GRADE {grade}" for grade in SCALE}
            students = [essay for essay in rich["data"]["essay_results"] if not essay["is_anchor"]]
            stored = {row["els_essay_id"]: row for row in await w.rows(grade_projections)}
            assert {essay["essay_id"]: essay["letter_grade"] for essay in students} == {
                name: row["primary_grade"] for name, row in stored.items()
            }
            assert len(stored) == 4
            told = rich["data"]["assessment_metadata"]
            assert told["anchor_grade_distribution"] == {"A": 1, "B": 1, "C": 2, "D": 2, "E": 1, "F": 1, "U": 0}
            assert (told["anchor_essays_used"], told["calibration_method"]) == (8, "anchor")
            (thin,) = w.events(CJ_COMPLETED_TOPIC)
            assert thin["data"]["processing_summary"]["total_essays"] == 4  # students only
            (upload,) = await w.rows(batch_uploads)
            assert upload["expected_essay_count"] == 12

    run_virtual(script())


def test_numeric_grades_are_published_whole_beside_a_letter_that_fits_the_pattern() -> None:
    async def script() -> None:
        async with world("eng5_anchor_gpt51_low") as w:
            await with_assignment(w, scale="eng5_np_national_9_step", grades=("1", "3", "5", "7", "9"))
            await completed(w, request(3, assignment_id="assignment-1"))
            (rich,) = w.events(ASSESSMENT_RESULT_TOPIC)
            assert w.published() == dict(zip(OUTPUTS, (1, 1, 0, 1), strict=True))
            assert {essay["letter_grade"] for essay in rich["data"]["essay_results"]} == {"U"}
            assert all(0 <= int(essay["grade"]) <= 9 for essay in rich["data"]["essay_results"])

    run_virtual(script())


def test_the_result_is_on_the_bus_before_the_word_that_it_is_complete() -> None:
    async def script() -> None:
        async with world() as w:
            order: list[str] = []
            publish_all = w.bus.publish_all

            async def watched(messages: Any) -> Any:
                order.extend(message.topic for message in messages if message.topic in OUTPUTS)
                return await publish_all(messages)

            w.bus.publish_all = watched  # type: ignore[method-assign]
            await completed(w, request(3))
            assert order[:2] == [ASSESSMENT_RESULT_TOPIC, CJ_COMPLETED_TOPIC]

    run_virtual(script())


def test_a_single_essay_is_complete_with_a_score_of_0_and_costs_nothing() -> None:
    async def script() -> None:
        async with world() as w:
            # With graded anchors, which would make a scale out of nothing.
            await with_assignment(w)
            thin = await completed(w, request(1, assignment_id="assignment-1"))
            assert thin["data"]["status"] == "completed_successfully"
            assert thin["data"]["processing_summary"]["single_essay_batch"] is True
            assert w.published() == dict(zip(OUTPUTS, (1, 1, 0, 0), strict=True))
            (upload,), (essay,) = await w.rows(batch_uploads), await w.rows(processed_essays)
            assert upload["status"] == "COMPLETE_INSUFFICIENT_ESSAYS"
            assert essay["current_bt_score"] == 0.0
            (rich,) = w.events(ASSESSMENT_RESULT_TOPIC)
            assert [(essay["rank"], essay["bt_score"]) for essay in rich["data"]["essay_results"]] == [(1, 0.0)]
            assert not w.lps.posts

    run_virtual(script())


def test_one_essay_in_two_batches_has_a_row_in_each() -> None:
    async def script() -> None:
        async with world() as w:
            await completed(w, request(3, number=1), request(3, number=2))
            rows = await w.rows(processed_essays)
            assert sorted((row["cj_batch_id"], row["els_essay_id"]) for row in rows) == [
                (batch, f"essay-{essay:02d}") for batch in (1, 2) for essay in range(3)
            ]
            assert all(row["current_bt_score"] is not None for row in rows)

    run_virtual(script())


def test_a_batch_asked_for_again_is_a_new_one_with_ids_of_its_own() -> None:
    async def script() -> None:
        async with world() as w:
            again = json.loads(request(3, number=2))
            again["data"]["entity_id"] = "bos-1"
            await completed(w, request(3, number=1), json.dumps(again).encode())
            assert [row["bos_batch_id"] for row in await w.rows(batch_uploads)] == ["bos-1", "bos-1"]
            assert set(w.lps.posts.values()) == {1}

    run_virtual(script())


@pytest.mark.parametrize("event", [1, 2], ids=["same event", "new event of the same request"])
def test_a_repeated_request_is_one_batch(event: int) -> None:
    async def script() -> None:
        async with world() as w:
            await w.ask(request(3), request(3, event=event), request(3, number=2))
            async with w.service():
                await w.next_event(CJ_COMPLETED_TOPIC, 1)
                await asyncio.sleep(1.0)
            assert [row["bos_batch_id"] for row in await w.rows(batch_uploads)] == ["bos-1", "bos-2"]
            assert w.published() == dict(zip(OUTPUTS, (2, 2, 0, 2), strict=True))
            assert await w.rows(quarantined_messages) == []

    run_virtual(script())


def test_what_a_request_overrides_is_what_is_asked_and_told() -> None:
    async def script() -> None:
        async with world(enable_llm_batching_metadata_hints=True) as w:
            await completed(
                w,
                request(
                    4,
                    metadata={"max_comparisons": 5, "llm_batching_mode_hint": "PER_REQUEST"},
                    llm_config_overrides={
                        "temperature_override": 0.0,
                        "model_override": "other-model",
                        "reasoning_effort": "low",
                        "max_tokens_override": 4096,
                    },
                ),
            )
            (state,) = await w.rows(batch_states)
            assert (state["total_budget"], state["submitted_comparisons"]) == (5, 5)
            assert state["processing_metadata"]["comparison_budget"]["source"] == "runner_override"
            for body in w.lps.bodies.values():
                overrides = body["llm_config_overrides"]
                assert overrides["temperature_override"] == 0.0
                assert (overrides["model_override"], overrides["max_tokens_override"]) == ("other-model", 4096)
                assert body["metadata"]["cj_llm_batching_mode"] == "per_request"
                assert body["metadata"]["reasoning_effort"] == "low"
            (rich,) = w.events(ASSESSMENT_RESULT_TOPIC)
            assert rich["data"]["assessment_metadata"]["llm_temperature"] == 0.0

    run_virtual(script())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"assignment_id": "nobody-knows"}, "unknown_assignment"),
        (
            {"assignment_id": "assignment-1", "llm_config_overrides": {"judge_rubric_override": "Reward length."}},
            "rubric_override_not_allowed",
        ),
        ({"essays_for_cj": []}, "no_student_text"),
        (
            {"essays_for_cj": [{"essay_id": "e", "text_storage_id": "1"}, {"essay_id": "e", "text_storage_id": "2"}]},
            "duplicate_essay_id",
        ),
    ],
    ids=["assignment", "rubric", "no essay", "twice"],
)
def test_a_request_without_a_batch_is_answered_by_a_failure(data: dict[str, Any], reason: str) -> None:
    async def script() -> None:
        async with world() as w:
            async with w.database.transaction() as transaction:
                await register_instructions(
                    transaction, Instructions("x", "swedish_8_anchor", "canonical_national", "assignment-1"), w.clock
                )
            await w.ask(request(3, **data), request(3, **data))
            async with w.service():
                failed = await w.next_event(CJ_FAILED_TOPIC)
                await w.ask(request(3, number=2))
                await w.next_event(CJ_COMPLETED_TOPIC)
            assert failed["data"]["cj_assessment_job_id"] == "INITIALIZATION_FAILED"
            assert failed["data"]["system_metadata"]["error_info"]["reason"] == reason
            assert failed["event_type"] == CJ_FAILED_TOPIC
            assert w.published()[CJ_FAILED_TOPIC] == 1

    run_virtual(script())


def test_a_batch_whose_answers_are_mostly_errors_fails_with_the_numbers() -> None:
    async def script() -> None:
        async with world(lps={"mock_error_rate": 1.0}) as w:
            await w.ask(request(4))
            async with w.service():
                failed = await w.next_event(CJ_FAILED_TOPIC)
            info = failed["data"]["system_metadata"]["error_info"]
            assert info["reason"] == "low_success_rate"
            assert info["details"]["completed_comparisons"] == 0
            assert info["details"]["success_rate"] == 0.0
            assert failed["correlation_id"] == json.loads(request(4))["correlation_id"]
            (upload,), (state,) = await w.rows(batch_uploads), await w.rows(batch_states)
            assert (upload["status"], state["state"]) == ("ERROR_PROCESSING", "FAILED")
            assert state["processing_metadata"]["failed_reason"]["reason"] == "low_success_rate"
            assert w.published() == dict(zip(OUTPUTS, (0, 0, 1, 0), strict=True))

    run_virtual(script())
