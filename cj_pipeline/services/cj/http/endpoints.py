"""This module serves health, metrics, and the admin's instructions and anchors over HTTP.

Every endpoint is a coroutine; a plain function would be run in a thread, which a virtual-time loop cannot wait for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.metadata import version

from pydantic import Field, ValidationError
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cj_pipeline.contracts.cj_events import CJ_SOURCE_SERVICE
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.services.cj.intake.assignments import (
    Instructions,
    NotOnTheScale,
    delete_instructions,
    instructions_of,
    register_anchor,
    register_instructions,
)
from cj_pipeline.services.cj.intake.content import NoContent
from cj_pipeline.services.cj.service import CjAssessmentService
from cj_pipeline.services.cj.store.tables import SCHEMA_VERSION, schema_versions

# Shorter ones say too little of a grade; production's number.
MIN_ANCHOR_CHARS = 100

Endpoint = Callable[[Request], Awaitable[Response]]


class InstructionsBody(FileModel):
    """Body of PUT /admin/v1/assessment-instructions/{assignment_id}."""

    instructions_text: str = Field(min_length=1)
    grade_scale: str = "swedish_8_anchor"
    context_origin: str = "research_experiment"
    student_prompt_storage_id: str | None = None
    judge_rubric_storage_id: str | None = None


class AnchorBody(FileModel):
    """Body of POST /api/v1/anchors/register."""

    assignment_id: str = Field(min_length=1)
    grade: str
    grade_scale: str = "swedish_8_anchor"
    anchor_label: str | None = None
    essay_text: str = Field(min_length=MIN_ANCHOR_CHARS)


def build_app(service: CjAssessmentService) -> Starlette:
    """Return the app of one service; it starts nothing."""
    endpoints = _Endpoints(service)
    routes: list[tuple[str, str, Endpoint]] = [
        ("GET", "/healthz", endpoints.healthz),
        ("GET", "/healthz/live", endpoints.live),
        ("GET", "/healthz/ready", endpoints.healthz),
        ("GET", "/healthz/database", endpoints.database),
        ("GET", "/healthz/database/summary", endpoints.database_summary),
        ("GET", "/metrics", endpoints.metrics),
    ]
    if service.settings.admin_endpoints:
        path = "/admin/v1/assessment-instructions/{assignment_id}"
        routes += [
            ("PUT", path, endpoints.put_instructions),
            ("GET", path, endpoints.get_instructions),
            ("DELETE", path, endpoints.delete_instructions),
            ("POST", "/api/v1/anchors/register", endpoints.register_anchor),
        ]
    return Starlette(
        routes=[
            Route(path, _counted(service, method, path, endpoint), methods=[method])
            for method, path, endpoint in routes
        ]
    )


class _Endpoints:
    def __init__(self, service: CjAssessmentService) -> None:
        self._service = service

    async def healthz(self, _: Request) -> Response:
        service = self._service
        reachable = await self._database_answers()
        healthy = service.running and reachable
        body = {
            "service": CJ_SOURCE_SERVICE,
            "status": _word(healthy),
            "message": _message(running=service.running, reachable=reachable),
            "version": version("cj-pipeline"),
            "checks": {"service_responsive": service.running, "dependencies_available": reachable},
            "dependencies": {"database": {"kind": service.database.dialect, "status": _word(reachable)}},
            "environment": service.settings.environment,
        }
        return JSONResponse(body, 200 if healthy else 503)

    async def live(self, _: Request) -> Response:
        """Answer as long as the process can; a probe that restarts it must not ask the database."""
        return JSONResponse({"service": CJ_SOURCE_SERVICE, "status": "healthy"})

    async def database(self, _: Request) -> Response:
        reachable = await self._database_answers()
        body = {"kind": self._service.database.dialect, "status": _word(reachable), "schema_version": SCHEMA_VERSION}
        return JSONResponse(body, 200 if reachable else 503)

    async def database_summary(self, _: Request) -> Response:
        try:
            states = await self._service.batches_by_state()
        except (DBAPIError, OSError):
            return JSONResponse({"status": _word(False)}, 503)
        return JSONResponse({"status": _word(True), "batches": states, "total_batches": sum(states.values())})

    async def metrics(self, _: Request) -> Response:
        try:
            states = await self._service.batches_by_state()
        except (DBAPIError, OSError):
            states = {}  # its gauge is then absent; the other series are this process's own
        return Response(self._service.metrics.exposition(states), media_type="text/plain; version=0.0.4")

    async def put_instructions(self, request: Request) -> Response:
        body = InstructionsBody.model_validate_json(await request.body())
        instructions = Instructions(assignment_id=request.path_params["assignment_id"], **body.model_dump())
        async with self._service.database.transaction() as transaction:
            await register_instructions(transaction, instructions, self._service.clock)
        self._service.metrics.admin_operation("upsert", "success")
        return JSONResponse(asdict(instructions))

    async def get_instructions(self, request: Request) -> Response:
        async with self._service.database.transaction() as transaction:
            found = await instructions_of(transaction, request.path_params["assignment_id"])
        return self._found("get", None if found is None else JSONResponse(asdict(found)))

    async def delete_instructions(self, request: Request) -> Response:
        async with self._service.database.transaction() as transaction:
            deleted = await delete_instructions(transaction, request.path_params["assignment_id"])
        return self._found("delete", Response(status_code=204) if deleted else None)

    async def register_anchor(self, request: Request) -> Response:
        body = AnchorBody.model_validate_json(await request.body())
        storage_id = await self._service.content.store(body.essay_text)
        async with self._service.database.transaction() as transaction:
            await register_anchor(
                transaction,
                assignment_id=body.assignment_id,
                anchor_label=body.anchor_label,
                grade=body.grade,
                grade_scale=body.grade_scale,
                text_storage_id=storage_id,
                clock=self._service.clock,
            )
        self._service.metrics.admin_operation("register_anchor", "success")
        return JSONResponse({"anchor_label": body.anchor_label or body.grade, "text_storage_id": storage_id}, 201)

    def _found(self, operation: str, response: Response | None) -> Response:
        self._service.metrics.admin_operation(operation, "error" if response is None else "success")
        if response is None:
            return JSONResponse({"error": "No instructions are registered for this assignment."}, 404)
        return response

    async def _database_answers(self) -> bool:
        try:
            async with self._service.database.transaction() as transaction:
                await transaction.first(select(schema_versions.c.version))
        except (DBAPIError, OSError):
            return False
        return True


def _word(good: bool) -> str:
    return "healthy" if good else "unhealthy"


def _message(*, running: bool, reachable: bool) -> str:
    if not running:
        return "A part of the service has ended; the log says which."
    return "The service works." if reachable else "The database does not answer."


def _counted(service: CjAssessmentService, method: str, path: str, endpoint: Endpoint) -> Endpoint:
    """Return an endpoint whose answers are counted, and whose refusals name fields and repeat nothing."""

    async def answer(request: Request) -> Response:
        started_s = service.clock.monotonic()
        try:
            response = await endpoint(request)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False, include_context=False)
            lines = [f"{'.'.join(map(str, problem['loc'])) or '(body)'}: {problem['msg']}" for problem in problems]
            response = _refused(service, "; ".join(lines), 400)
        except NotOnTheScale as error:
            response = _refused(service, str(error), 400)
        except NoContent as error:
            response = _refused(service, f"The text could not be kept: {error.reason.value}.", 502)
        service.metrics.responded(method, path, response.status_code, service.clock.monotonic() - started_s)
        return response

    return answer


def _refused(service: CjAssessmentService, problem: str, status: int) -> Response:
    service.metrics.admin_operation("refused", "error")
    return JSONResponse({"error": problem}, status)
