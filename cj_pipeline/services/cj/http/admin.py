"""This module serves the admin's endpoints: instructions, student prompts, judge rubrics and anchors.

Who may use them is in access.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cj_pipeline.services.cj.http.bodies import (
    AnchorBody,
    InstructionsBody,
    JudgeRubricBody,
    ScopedInstructionsBody,
    StudentPromptBody,
    read_model,
)
from cj_pipeline.services.cj.http.openapi import ADMIN
from cj_pipeline.services.cj.intake.assignments import (
    Instructions,
    NotOnTheScale,
    anchors_of,
    delete_instructions,
    every_instructions,
    instructions_of,
    register_anchor,
    register_instructions,
    set_stored_text,
)
from cj_pipeline.services.cj.service import CjAssessmentService

MOST_ROWS = 200


class AdminEndpoints:
    """What admins do to one service."""

    def __init__(self, service: CjAssessmentService) -> None:
        self._service = service

    def by_operation(self) -> dict[str, Callable[[Request], Any]]:
        """Return the endpoint of each operation of `openapi.ADMIN`, by its name."""
        same = {
            f"{method}_of_{scope}": getattr(self, f"{method}_instructions")
            for method in ("get", "delete")
            for scope in ("assignment", "course")
        }
        return same | {one.name: getattr(self, one.name) for one in ADMIN if one.name not in same}

    async def list_instructions(self, request: Request) -> Response:
        """Return instructions, the newest first, a page of them."""
        page = _number(request, "page", 1, 10**6)
        page_size = _number(request, "page_size", 50, MOST_ROWS)
        async with self._service.database.transaction() as transaction:
            total, found = await every_instructions(transaction, limit=page_size, offset=(page - 1) * page_size)
        self._done("list")
        items = [_document(instructions) for instructions in found]
        return JSONResponse({"items": items, "total": total, "page": page, "page_size": page_size})

    async def post_instructions(self, request: Request) -> Response:
        """Make or replace the instructions of an assignment or a course."""
        body = await read_model(request, ScopedInstructionsBody)
        return await self._register(Instructions(**body.model_dump()))

    async def put_instructions(self, request: Request) -> Response:
        """Make or replace the instructions of an assignment."""
        body = await read_model(request, InstructionsBody)
        return await self._register(Instructions(**request.path_params, **body.model_dump()))

    async def _register(self, instructions: Instructions) -> Response:
        async with self._service.database.transaction() as transaction:
            await register_instructions(transaction, instructions, self._service.clock)
            kept = await instructions_of(transaction, **instructions.scope)
        self._done("upsert")
        return JSONResponse(_document(kept or instructions))

    async def get_instructions(self, request: Request) -> Response:
        """Return the instructions of an assignment or a course."""
        async with self._service.database.transaction() as transaction:
            found = await instructions_of(transaction, **request.path_params)
        return self._found("get", None if found is None else JSONResponse(_document(found)))

    async def delete_instructions(self, request: Request) -> Response:
        """Take the instructions of an assignment or a course away."""
        async with self._service.database.transaction() as transaction:
            deleted = await delete_instructions(transaction, **request.path_params)
        return self._found("delete", Response(status_code=204) if deleted else None)

    async def post_student_prompt(self, request: Request) -> Response:
        """Store what students were asked."""
        body = await read_model(request, StudentPromptBody)
        return await self._store("student_prompt", body.assignment_id, "prompt_text", body.prompt_text)

    async def post_judge_rubric(self, request: Request) -> Response:
        """Store what the judge goes by."""
        body = await read_model(request, JudgeRubricBody)
        return await self._store("judge_rubric", body.assignment_id, "rubric_text", body.rubric_text)

    async def get_student_prompt(self, request: Request) -> Response:
        """Return what students were asked."""
        return await self._stored("student_prompt", request.path_params["assignment_id"], "prompt_text")

    async def get_judge_rubric(self, request: Request) -> Response:
        """Return what the judge goes by."""
        return await self._stored("judge_rubric", request.path_params["assignment_id"], "rubric_text")

    async def _store(self, kind: str, assignment_id: str, key: str, text: str) -> Response:
        database = self._service.database
        async with database.transaction() as transaction:
            if await instructions_of(transaction, assignment_id=assignment_id) is None:
                return self._found(kind, None)
        storage_id = await self._service.content.store(text)
        async with database.transaction() as transaction:
            await set_stored_text(transaction, assignment_id, f"{kind}_storage_id", storage_id)
            kept = await instructions_of(transaction, assignment_id=assignment_id)
        return self._found(f"{kind}_upload", None if kept is None else JSONResponse({**_document(kept), key: text}))

    async def _stored(self, kind: str, assignment_id: str, key: str) -> Response:
        async with self._service.database.transaction() as transaction:
            found = await instructions_of(transaction, assignment_id=assignment_id)
        storage_id = None if found is None else getattr(found, f"{kind}_storage_id")
        if found is None or storage_id is None:
            return self._found(f"{kind}_get", None)
        text = await self._service.content.fetch(storage_id)
        return self._found(f"{kind}_get", JSONResponse({**_document(found), key: text}))

    async def list_anchors(self, request: Request) -> Response:
        """Return the anchors of an assignment, on its own scale."""
        assignment_id = request.path_params["assignment_id"]
        async with self._service.database.transaction() as transaction:
            found = await instructions_of(transaction, assignment_id=assignment_id)
            if found is None:
                return self._found("list_anchors", None)
            anchors = await anchors_of(transaction, assignment_id, found.grade_scale)
        self._done("list_anchors")
        rows = [
            {
                "anchor_id": anchor.anchor_ref_id,
                "anchor_label": anchor.anchor_label,
                "grade": anchor.grade,
                "grade_scale": found.grade_scale,
                "text_storage_id": anchor.text_storage_id,
            }
            for anchor in anchors
        ]
        scale = {"assignment_id": assignment_id, "grade_scale": found.grade_scale}
        return JSONResponse({**scale, "anchor_count": len(rows), "anchors": rows})

    async def register_anchor(self, request: Request) -> Response:
        """Make or replace an anchor of an assignment."""
        body = await read_model(request, AnchorBody)
        async with self._service.database.transaction() as transaction:
            instructions = await instructions_of(transaction, assignment_id=body.assignment_id)
        if instructions is None:
            raise NotOnTheScale(f"Assignment '{body.assignment_id}' has no instructions, and so no grade scale.")
        scale = instructions.grade_scale
        if body.grade_scale not in (None, scale):
            raise NotOnTheScale(f"Assignment '{body.assignment_id}' is graded on {scale}.")
        storage_id = await self._service.content.store(body.essay_text)
        label = body.anchor_label or body.grade
        async with self._service.database.transaction() as transaction:
            anchor_id = await register_anchor(
                transaction,
                assignment_id=body.assignment_id,
                anchor_label=label,
                grade=body.grade,
                grade_scale=scale,
                text_storage_id=storage_id,
                clock=self._service.clock,
            )
        self._done("register_anchor")
        told = {"anchor_id": anchor_id, "storage_id": storage_id, "status": "registered"}
        ours = {"anchor_label": label, "text_storage_id": storage_id, "grade_scale": scale}
        return JSONResponse({**told, **ours}, 201)

    def _done(self, operation: str) -> None:
        self._service.metrics.admin_operation(operation, "success")

    def _found(self, operation: str, response: Response | None) -> Response:
        self._service.metrics.admin_operation(operation, "error" if response is None else "success")
        if response is None:
            return JSONResponse({"error": "Nothing of this kind is registered there."}, 404)
        return response


def _document(instructions: Instructions) -> dict[str, Any]:
    return {
        "id": instructions.id,
        "assignment_id": instructions.assignment_id,
        "course_id": instructions.course_id,
        "instructions_text": instructions.instructions_text,
        "grade_scale": instructions.grade_scale,
        "context_origin": instructions.context_origin,
        "student_prompt_storage_id": instructions.student_prompt_storage_id,
        "judge_rubric_storage_id": instructions.judge_rubric_storage_id,
        "created_at": None if instructions.created_at is None else instructions.created_at.isoformat(),
    }


def _number(request: Request, name: str, default: int, most: int) -> int:
    """Return a number of the query, within its range; the default for anything that is none."""
    text = request.query_params.get(name, "")
    return min(most, max(1, int(text))) if text.isascii() and text.isdigit() and len(text) < 9 else default
