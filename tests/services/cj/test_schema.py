"""Every column of production's eight tables, by hand: its mapped classes and scripts read them by these names."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from cj_pipeline.runs.virtual_time import run_real, run_virtual
from tests.servers import needs
from tests.services.cj.lab import request as asked
from tests.services.cj.lab import world
from tests.services.cj.test_batches import completed, with_assignment

COLUMNS = {
    "cj_batch_uploads": (
        "id bos_batch_id event_correlation_id language course_code expected_essay_count status created_at updated_at "
        "completed_at processing_metadata assignment_id user_id org_id"
    ),
    "cj_batch_states": (
        "batch_id state total_budget total_comparisons submitted_comparisons completed_comparisons failed_comparisons "
        "current_iteration last_activity_at partial_scoring_triggered completion_threshold_pct processing_metadata"
    ),
    "cj_comparison_pairs": (
        "id cj_batch_id essay_a_els_id essay_b_els_id prompt_text request_correlation_id submitted_at completed_at "
        "winner confidence justification raw_llm_response error_code error_correlation_id error_timestamp "
        "error_service error_details processing_metadata pair_generation_mode created_at"
    ),
    "cj_processed_essays": (
        "els_essay_id cj_batch_id text_storage_id assessment_input_text current_bt_score current_bt_se "
        "comparison_count is_anchor processing_metadata created_at updated_at"
    ),
    "grade_projections": (
        "els_essay_id cj_batch_id primary_grade grade_scale confidence_score confidence_label population_prior "
        "assessment_method model_used model_provider normalized_score calculation_metadata created_at"
    ),
    "assessment_instructions": (
        "id assignment_id course_id instructions_text grade_scale context_origin student_prompt_storage_id "
        "judge_rubric_storage_id created_at"
    ),
    "anchor_essay_references": "id assignment_id anchor_label grade grade_scale text_storage_id created_at",
    "event_outbox": (
        "id aggregate_id aggregate_type event_type event_data event_key topic created_at published_at retry_count "
        "last_error"
    ),
}
NEVER_NULL = {
    "cj_processed_essays": ("created_at", "updated_at"),
    "grade_projections": ("created_at",),
    "cj_batch_uploads": ("created_at", "updated_at", "completed_at"),
}


@pytest.mark.parametrize("kind", ["sqlite", needs("postgresql")])
def test_every_column_is_there_and_can_be_read_by_its_name(kind: str, request: pytest.FixtureRequest) -> None:
    url = "sqlite://" if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))

    async def script() -> None:
        async with world(url=url) as w:
            await with_assignment(w)
            await completed(w, asked(5, assignment_id="assignment-1"))
            async with w.database.transaction() as transaction:
                for table, names in COLUMNS.items():
                    rows = await transaction.all(text(f"SELECT {', '.join(names.split())} FROM {table}"))  # noqa: S608
                    assert rows, f"{table} is empty after a graded batch"
                    for name in NEVER_NULL.get(table, ()):
                        assert all(getattr(row, name) is not None for row in rows)

    (run_virtual if kind == "sqlite" else run_real)(script())
