"""This module makes the ASGI app of one service: its routes, and what every response has in common.

The app starts nothing: `serve.py` or a test enters the service first. Every endpoint is a coroutine; a plain function
would be run in a thread, which a virtual-time loop cannot wait for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cj_pipeline.services.lps.http.answers import FlatError
from cj_pipeline.services.lps.http.endpoints import Endpoint, Endpoints, json_response
from cj_pipeline.services.lps.http.openapi_operations import OPERATIONS
from cj_pipeline.services.lps.http.refusals import refusal_of
from cj_pipeline.services.lps.queue.trace_context import trace_context
from cj_pipeline.services.lps.service import LlmProviderService
from cj_pipeline.services.shared.openapi import Operation

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"


def build_app(service: LlmProviderService) -> Starlette:
    """Return the app of one service."""
    endpoints = Endpoints(service).by_operation()
    app = Starlette(
        routes=[
            Route(one.path, _counted(service, one, endpoints[one.name]), methods=[one.method]) for one in OPERATIONS
        ],
        exception_handlers={HTTPException: _unrouted(service)},
    )
    # A path with a slash too many is unknown, as in production, and not a redirect that no document describes.
    app.router.redirect_slashes = False
    return app


def _counted(service: LlmProviderService, operation: Operation, endpoint: Endpoint) -> Endpoint:
    """Return the endpoint, counted by its route, with the headers that every response carries."""

    async def counted(request: Request) -> Response:
        began_at = service.clock.monotonic()
        try:
            response = await endpoint(request)
            identity = _asked_for(request)
        except Exception as error:
            refusal = refusal_of(error, f"{operation.method} {operation.path}")
            response = json_response(refusal.answer(service.clock.now()), refusal.status, refusal.headers)
            identity = refusal.correlation_id or _asked_for(request)
        took_s = service.clock.monotonic() - began_at
        service.metrics.responded(operation.method, operation.path, response.status_code, took_s)
        return _traced(request, response, identity)

    return counted


def _unrouted(service: LlmProviderService) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return the handler of an unknown path or a wrong method."""

    async def unrouted(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        # Clients choose methods and paths; each would be a series.
        method = request.method if request.method in _METHODS else _OTHER
        service.metrics.responded(method, _OTHER, error.status_code, 0.0)
        response = json_response(FlatError(error=error.detail), error.status_code, error.headers)
        return _traced(request, response, uuid4())

    return unrouted


def _asked_for(request: Request) -> UUID:
    """Return the request that a call is about: the one just queued, the one in the path, or none that is known."""
    if hasattr(request.state, "queue_id"):
        queue_id: UUID = request.state.queue_id
        return queue_id
    try:
        return UUID(request.path_params["queue_id"])
    except (KeyError, ValueError):
        return uuid4()


def _traced(request: Request, response: Response, identity: UUID) -> Response:
    """Return the response under the caller's trace, or one that follows from an id."""
    trace = trace_context(identity, request.headers.get("traceparent", "").encode())
    response.headers["X-Trace-ID"] = trace.trace_id
    response.headers["X-Span-ID"] = trace.span_id
    return response
