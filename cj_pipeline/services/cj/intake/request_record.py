"""This module holds `original_request`, what a batch keeps of its request: every wave is built from it."""

from __future__ import annotations

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.els_request import BatchConfigOverrides
from cj_pipeline.contracts.model import FileModel


class RequestRecord(FileModel):
    """Stored with the batch, under production's keys where it has them.

    grade_scale: None for a guest's batch, which gets no grades. dropped_essay_ids: students without a text.
    llm_config_overrides: complete, so that provider, model and temperature never change while a batch runs.
    batch_config_overrides: as asked for, the hint of the envelope among it; what came of it is the batch's own.
    """

    language: str
    course_code: str
    cj_source: str = "els"
    cj_request_type: str = "cj_comparison"
    assignment_id: str | None = None
    user_id: str
    org_id: str | None = None
    parent_id: str | None = None
    grade_scale: str | None = None
    student_prompt_text: str | None = None
    student_prompt_storage_id: str | None = None
    judge_rubric_text: str | None = None
    judge_rubric_storage_id: str | None = None
    instructions_text: str | None = None
    llm_config_overrides: LLMConfigOverrides
    batch_config_overrides: BatchConfigOverrides | None = None
    max_comparisons_override: int | None = None
    dropped_essay_ids: tuple[str, ...] = ()

    @property
    def batch_size(self) -> int | None:
        """Comparisons sent between two commits; None when the request leaves it to the service."""
        return None if self.batch_config_overrides is None else self.batch_config_overrides.batch_size
