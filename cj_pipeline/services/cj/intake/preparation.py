"""This module fetches everything that a request refers to: texts of essays and anchors, prompt, rubric.

It takes as long as the content service does, so no transaction is open meanwhile. A text that is missing leaves its
essay out; a prompt or a rubric that is missing leaves its section out; both are counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cj_pipeline.contracts.els_request import (
    ANCHOR_PREFIX,
    AssessmentRequestEvent,
    AssessmentRequestV1,
    PromptReference,
)
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.services.cj.intake.assignments import (
    CANONICAL_NATIONAL,
    AnchorReference,
    Instructions,
    anchors_of,
    instructions_of,
)
from cj_pipeline.services.cj.intake.content import ContentSource, NoContent
from cj_pipeline.services.cj.metrics import CjMetrics
from cj_pipeline.services.cj.store.database import Database

STUDENT_PROMPT_KEY = "student_prompt_text"

# Texts under way at a time.
CONCURRENT_FETCHES = 10


@dataclass(frozen=True, slots=True)
class PreparedEssay:
    """An essay with its text. metadata: of an anchor, what its grade is known by."""

    essay_id: str
    text_storage_id: str
    text: str
    is_anchor: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request that a batch can be made of. essays: one student at least, and no two of one id."""

    event: AssessmentRequestEvent
    essays: tuple[PreparedEssay, ...]
    dropped_essay_ids: tuple[str, ...]
    instructions: Instructions | None
    student_prompt_text: str | None
    student_prompt_storage_id: str | None
    judge_rubric_text: str | None


@dataclass(frozen=True, slots=True)
class Hopeless:
    """A request that no batch can be made of, and why, in a word."""

    event: AssessmentRequestEvent
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


class Preparation:
    """Fetches what requests refer to."""

    def __init__(self, database: Database, content: ContentSource, metrics: CjMetrics) -> None:
        self._database = database
        self._content = content
        self._metrics = metrics
        self._fetches = asyncio.Semaphore(CONCURRENT_FETCHES)

    async def of(self, event: AssessmentRequestEvent) -> PreparedRequest | Hopeless:
        """Return the request with its texts."""
        request = event.data
        ids = [essay.essay_id for essay in request.essays_for_cj]
        if len(set(ids)) < len(ids):
            return Hopeless(event, "duplicate_essay_id", {"essays": len(ids), "distinct": len(set(ids))})
        instructions: Instructions | None = None
        references: list[AnchorReference] = []
        if request.assignment_id is not None:
            async with self._database.transaction() as transaction:
                instructions = await instructions_of(transaction, assignment_id=request.assignment_id)
                if instructions is not None:
                    references = await anchors_of(transaction, request.assignment_id, instructions.grade_scale)
            if instructions is None:
                return Hopeless(event, "unknown_assignment", {"assignment_id": request.assignment_id})
            if _rubric_override(request) is not None and instructions.context_origin == CANONICAL_NATIONAL:
                return Hopeless(event, "rubric_override_not_allowed", {"assignment_id": request.assignment_id})
        texts = await self._texts([(essay.essay_id, essay.text_storage_id) for essay in request.essays_for_cj])
        essays = [
            PreparedEssay(essay.essay_id, essay.text_storage_id, texts[essay.essay_id], not essay.is_student)
            for essay in request.essays_for_cj
            if essay.essay_id in texts
        ]
        students = [essay for essay in essays if not essay.is_anchor]
        if not students:
            return Hopeless(event, "no_student_text", {"students": sum(e.is_student for e in request.essays_for_cj)})
        if len(students) < 2:
            essays = students  # one essay has nobody to be compared with, and anchors are not a class
        else:
            essays += await self._anchors(references, event.correlation_id)
        prompt_id, prompt = await self._prompt(request, instructions)
        return PreparedRequest(
            event=event,
            essays=tuple(essays),
            dropped_essay_ids=tuple(
                e.essay_id for e in request.essays_for_cj if e.is_student and e.essay_id not in texts
            ),
            instructions=instructions,
            student_prompt_text=prompt,
            student_prompt_storage_id=prompt_id,
            judge_rubric_text=await self._rubric(request, instructions),
        )

    async def _texts(self, wanted: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Texts by essay; one that cannot be had is missing."""

        async def fetch(essay_id: str, storage_id: str) -> str | None:
            try:
                async with self._fetches:
                    return _clean(await self._content.fetch(storage_id))
            except NoContent as missing:
                kind = "anchor" if essay_id.startswith(ANCHOR_PREFIX) else "student"
                self._metrics.essay_dropped(kind, missing.reason.value)
                return None

        found = await asyncio.gather(*(fetch(essay_id, storage_id) for essay_id, storage_id in wanted))
        return {essay_id: text for (essay_id, _), text in zip(wanted, found, strict=True) if text is not None}

    async def _anchors(self, references: Sequence[AnchorReference], correlation_id: UUID) -> list[PreparedEssay]:
        named = {_anchor_id(reference, correlation_id): reference for reference in references}
        texts = await self._texts([(essay_id, reference.text_storage_id) for essay_id, reference in named.items()])
        return [
            PreparedEssay(
                essay_id=essay_id,
                text_storage_id=reference.text_storage_id,
                text=texts[essay_id],
                is_anchor=True,
                metadata={
                    "is_anchor": True,
                    "known_grade": reference.grade,
                    "anchor_grade": reference.grade,
                    "anchor_ref_id": reference.anchor_ref_id,
                    "anchor_label": reference.anchor_label,
                    "text_storage_id": reference.text_storage_id,
                },
            )
            for essay_id, reference in named.items()
            if essay_id in texts
        ]

    async def _prompt(
        self, request: AssessmentRequestV1, instructions: Instructions | None
    ) -> tuple[str | None, str | None]:
        """Storage id and text of what the students were asked."""
        if instructions is not None:
            storage_id = instructions.student_prompt_storage_id
        else:
            storage_id = self._referred(request.student_prompt_ref)
        if storage_id is None:
            return None, None
        text = await self._context(storage_id)
        if text is not None:
            self._metrics.prompt_had()
        return storage_id, text

    def _referred(self, reference: PromptReference | None) -> str | None:
        if reference is None:
            return None
        entry = reference.references.get(STUDENT_PROMPT_KEY)
        if entry is None:
            self._metrics.prompt_failed("missing_entry")
            return None
        storage_id = entry.get("storage_id")
        if not isinstance(storage_id, str) or not storage_id:
            self._metrics.prompt_failed("missing_storage_id")
            return None
        return storage_id

    async def _rubric(self, request: AssessmentRequestV1, instructions: Instructions | None) -> str | None:
        override = _rubric_override(request)
        if override is not None:
            return _clean(override)
        if instructions is None or instructions.judge_rubric_storage_id is None:
            return None
        return await self._context(instructions.judge_rubric_storage_id, "batch_creation_rubric_hydration_failed")

    async def _context(self, storage_id: str, reason: str | None = None) -> str | None:
        try:
            return _clean(await self._content.fetch(storage_id))
        except NoContent as missing:
            self._metrics.prompt_failed(reason or missing.reason.value)
            return None


def _rubric_override(request: AssessmentRequestV1) -> str | None:
    return None if request.llm_config_overrides is None else request.llm_config_overrides.judge_rubric_override


def _anchor_id(reference: AnchorReference, correlation_id: UUID) -> str:
    """Return one id for each request, and the same one when the request is read again."""
    suffix = keyed_uuid("anchor", str(correlation_id), reference.anchor_ref_id).hex[:8]
    return f"{ANCHOR_PREFIX}{reference.anchor_ref_id}_{suffix}"


def _clean(text: str) -> str:
    """PostgreSQL has no NUL in a text, and an essay has no use for one."""
    return text.replace("\x00", "")
