"""This module serves health and metrics over HTTP, and the admin's endpoints to those who may use them.

Every endpoint is a coroutine; a plain function would be run in a thread, which a virtual-time loop cannot wait for.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import version

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route

from cj_pipeline.contracts.cj_events import CJ_SOURCE_SERVICE
from cj_pipeline.contracts.els_request import Name
from cj_pipeline.services.cj.http.access import Access, Denied
from cj_pipeline.services.cj.http.admin import AdminEndpoints
from cj_pipeline.services.cj.http.openapi import ADMIN, HEALTH, openapi_document
from cj_pipeline.services.cj.intake.assignments import NotOnTheScale
from cj_pipeline.services.cj.intake.content import NoContent
from cj_pipeline.services.cj.service import CjAssessmentService
from cj_pipeline.services.cj.store.tables import SCHEMA_VERSION, schema_versions
from cj_pipeline.services.shared.openapi import Operation
from cj_pipeline.services.shared.request_body import MOST_BODY_BYTES, BodyTooLarge

_log = logging.getLogger(__name__)

_PATH: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, Name])

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(service: CjAssessmentService) -> Starlette:
    """Return the app of one service; it starts nothing."""
    endpoints = _Endpoints(service)
    routes: list[tuple[Operation, Endpoint]] = [(one, getattr(endpoints, one.name)) for one in HEALTH]
    access = Access(service.settings, service.clock, service.client)
    if service.settings.admin_endpoints:
        of_admins = AdminEndpoints(service).by_operation()
        routes += [(one, _guarded(access, of_admins[one.name], changes=one.method != "GET")) for one in ADMIN]
    app = Starlette(
        routes=[
            Route(one.path, _counted(service, one.method, one.path, endpoint), methods=[one.method])
            for one, endpoint in routes
        ],
        exception_handlers={HTTPException: _unrouted},
    )
    # A redirection reads the query as UTF-8, and fails with a 500 where it is none.
    app.router.redirect_slashes = False
    return app


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

    async def ready(self, request: Request) -> Response:
        return await self.healthz(request)

    async def openapi(self, _: Request) -> Response:
        return JSONResponse(openapi_document(self._service.settings))

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

    async def _database_answers(self) -> bool:
        try:
            async with self._service.database.transaction() as transaction:
                await transaction.first(select(schema_versions.c.version))
        except (DBAPIError, OSError):
            return False
        return True


async def _unrouted(request: Request, error: Exception) -> Response:
    """Answer an unknown path or a wrong method, with the methods that the path has."""
    if not isinstance(error, HTTPException):
        raise error
    answer = JSONResponse({"error": error.detail}, error.status_code)
    if error.status_code == 405:  # a path has a route for each method, and the framework names those of one
        matching = [one for one in request.app.routes if one.matches(request.scope)[0] is not Match.NONE]
        answer.headers["Allow"] = ", ".join(sorted({method for one in matching for method in one.methods}))
    return answer


def _word(good: bool) -> str:
    return "healthy" if good else "unhealthy"


def _message(*, running: bool, reachable: bool) -> str:
    if not running:
        return "A part of the service has ended; the log says which."
    return "The service works." if reachable else "The database does not answer."


def _guarded(access: Access, endpoint: Endpoint, *, changes: bool) -> Endpoint:
    """Return an endpoint that only those reach who may."""

    async def answer(request: Request) -> Response:
        await access.require(request, changes=changes)
        return await endpoint(request)

    return answer


def _counted(service: CjAssessmentService, method: str, path: str, endpoint: Endpoint) -> Endpoint:
    """Return an endpoint whose answers are counted, and whose refusals name fields and repeat nothing."""

    async def answer(request: Request) -> Response:
        started_s = service.clock.monotonic()
        try:
            _PATH.validate_python(request.path_params)
            response = await endpoint(request)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False, include_context=False)
            lines = [f"{'.'.join(map(str, problem['loc'])) or '(body)'}: {problem['msg']}" for problem in problems]
            response = _refused(service, "; ".join(lines), 400)
        except BodyTooLarge:
            response = _refused(service, f"A body has at most {MOST_BODY_BYTES:,} bytes.", 413)
        except ClientDisconnect:
            response = _refused(service, "The connection broke before the body was complete.", 400)
        except NotOnTheScale as error:
            response = _refused(service, str(error), 400)
        except Denied as error:
            _log.warning("%s %s is refused with %d: %s", method, path, error.status, error)
            response = _refused(service, str(error), error.status)
            if error.status == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
        except NoContent as error:
            response = _refused(service, f"The text could not be kept: {error.reason.value}.", 502)
        service.metrics.responded(method, path, response.status_code, service.clock.monotonic() - started_s)
        return response

    return answer


def _refused(service: CjAssessmentService, problem: str, status: int) -> Response:
    service.metrics.admin_operation("refused", "error")
    return JSONResponse({"error": problem}, status)
