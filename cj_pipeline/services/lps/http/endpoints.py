"""Every route but the comparison itself: what became of a request, models, providers, health, metrics, the admin's.

Here: routes and their JSON. Not here: posting a comparison (app.py), its document (openapi.py).
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cj_pipeline.contracts.enums import Provider, QueueStatus
from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.services.lps.http.health import health
from cj_pipeline.services.lps.http.openapi import openapi_document
from cj_pipeline.services.lps.http.provider_report import providers_report
from cj_pipeline.services.lps.http.provider_trial import try_provider
from cj_pipeline.services.lps.http.refusals import FlatRefusal, refusal_of
from cj_pipeline.services.lps.providers.manifest import model_info
from cj_pipeline.services.lps.queue.queue import Known
from cj_pipeline.services.lps.queue.trace_context import trace_context
from cj_pipeline.services.lps.service import LlmProviderService

COMPARISON_PATH = "/api/v1/comparison"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"

_OVER = frozenset({QueueStatus.COMPLETED, QueueStatus.FAILED, QueueStatus.EXPIRED})

Endpoint = Callable[[Request], Awaitable[Response]]


def framework_app(service: LlmProviderService) -> Starlette:
    """The routes of one service."""
    endpoints = _Endpoints(service)
    routes: list[tuple[str, str, Endpoint]] = [
        ("GET", "/api/v1/status/{queue_id}", endpoints.status),
        ("GET", "/api/v1/results/{queue_id}", endpoints.results),
        ("GET", "/api/v1/models", endpoints.models),
        ("GET", "/api/v1/providers", endpoints.providers),
        ("POST", "/api/v1/providers/{provider}/test", endpoints.try_provider),
        ("GET", "/admin/mock-mode", endpoints.mock_mode),
        ("GET", "/healthz", endpoints.healthz),
        ("GET", "/metrics", endpoints.metrics),
        ("GET", "/openapi.json", endpoints.openapi),
    ]
    app = Starlette(
        routes=[
            # Served by app.py; here so that another method on it is a 405 that names the right one.
            Route(COMPARISON_PATH, _never, methods=["POST"]),
            *(
                Route(path, _counted(service, method, path, endpoint), methods=[method])
                for method, path, endpoint in routes
            ),
        ],
        exception_handlers={HTTPException: _unrouted(service)},
    )
    # A path with a slash too many is unknown, as in production, and not a redirect that no document tells of.
    app.router.redirect_slashes = False
    return app


class _Endpoints:
    def __init__(self, service: LlmProviderService) -> None:
        self._service = service

    async def status(self, request: Request) -> Response:
        known = await self._known(request)
        return JSONResponse(_status_body(known))

    async def results(self, request: Request) -> Response:
        """The callback's envelope, byte for byte as the bus gets it, once there is one."""
        known = await self._known(request)
        if known.status not in _OVER:
            return JSONResponse(_status_body(known), 202)
        if known.callback is None:
            raise FlatRefusal(
                410, "Result no longer kept", details=f"It was published as a callback; its status is {known.status}."
            )
        return Response(known.callback, media_type="application/json")

    async def models(self, request: Request) -> Response:
        named = request.query_params.get("provider")
        deprecated = _flag(request, "include_deprecated")
        valid = [provider.value for provider in Provider if provider is not Provider.MOCK]
        if named is not None and named not in valid:
            return JSONResponse({"error": "Unknown provider", "valid_providers": valid}, 400)
        manifest = self._service.manifest
        listed = {
            provider: [
                model_info(model) for model in manifest.models(Provider(provider), include_deprecated=deprecated)
            ]
            for provider in (valid if named is None else [named])
        }
        return JSONResponse({"providers": listed, "total_models": sum(len(models) for models in listed.values())})

    async def providers(self, _: Request) -> Response:
        return JSONResponse(providers_report(self._service))

    async def try_provider(self, request: Request) -> Response:
        self._require_admin(request)
        return JSONResponse(await try_provider(self._service, request.path_params["provider"]))

    async def mock_mode(self, request: Request) -> Response:
        self._require_admin(request)
        service = self._service
        return JSONResponse(
            {
                "use_mock_llm": service.settings.use_mock_llm,
                "mock_mode": None if service.mode.expression == "default" else service.mode.expression,
                # Requests must name their provider; under USE_MOCK_LLM, whichever they name, the mock answers.
                "default_provider": (
                    Provider.MOCK if service.settings.use_mock_llm else service.settings.default_llm_provider
                ).value,
            }
        )

    async def healthz(self, _: Request) -> Response:
        body, status = await health(self._service)
        return JSONResponse(body, status)

    async def metrics(self, _: Request) -> Response:
        return Response(
            self._service.metrics.exposition(await self._service.depth()),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def openapi(self, _: Request) -> Response:
        service = self._service
        return JSONResponse(openapi_document(service.settings, service.manifest, service.providers))

    async def _known(self, request: Request) -> Known:
        try:
            queue_id = UUID(request.path_params["queue_id"])
        except ValueError:
            raise FlatRefusal(400, "queue_id is not a UUID") from None
        known = await self._service.lookup(queue_id)
        if known is None:
            raise FlatRefusal(
                404, "Unknown queue_id", details="No such request was accepted, or it was answered too long ago."
            )
        return known

    def _require_admin(self, request: Request) -> None:
        settings = self._service.settings
        if not settings.admin_api_enabled:
            raise FlatRefusal(404, "admin_api_disabled")
        # Compose files export variables that are not set as empty ones.
        key = "" if settings.admin_api_key is None else settings.admin_api_key.get_secret_value()
        if not key:
            return
        given = request.headers.get("x-admin-api-key") or request.headers.get("authorization", "").removeprefix(
            "Bearer "
        )
        if not hmac.compare_digest(given.encode(), key.encode()):
            raise FlatRefusal(
                401,
                "Admin key required",
                details="Send it as X-Admin-Api-Key or as a bearer token.",
                headers={"WWW-Authenticate": "Bearer"},
            )


def _status_body(known: Known) -> dict[str, Any]:
    over = known.status in _OVER
    return {
        "queue_id": str(known.queue_id),
        "correlation_id": str(known.correlation_id),
        "status": known.status.value,
        "attempts": known.attempts,
        "callback_published": known.published,
        "result_location": f"/api/v1/results/{known.queue_id}" if over and known.callback is not None else None,
    }


def _flag(request: Request, name: str) -> bool:
    given = request.query_params.get(name, "false").lower()
    if given not in ("true", "false", "1", "0"):
        raise FlatRefusal(400, f"{name} is not true or false")
    return given in ("true", "1")


def _counted(service: LlmProviderService, method: str, path: str, endpoint: Endpoint) -> Endpoint:
    """The endpoint, counted by its route, with the headers that every response carries."""

    async def counted(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except Exception as error:
            refusal = refusal_of(error, f"{method} {path}")
            response = Response(
                refusal.json(service.clock.now()), refusal.status, refusal.headers, media_type="application/json"
            )
        service.metrics.responded(method, path, response.status_code)
        return _traced(request, response)

    return counted


def _unrouted(service: LlmProviderService) -> Callable[[Request, Exception], Awaitable[Response]]:
    """What is said of an unknown path or a wrong method."""

    async def unrouted(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        # Clients choose methods and paths; each would be a series.
        method = request.method if request.method in _METHODS else _OTHER
        service.metrics.responded(method, _OTHER, error.status_code)
        return _traced(request, JSONResponse({"error": error.detail}, error.status_code, headers=error.headers))

    return unrouted


def _traced(request: Request, response: Response) -> Response:
    """The response under the caller's trace, the asked request's (its POST's), or one of its own."""
    try:
        identity = UUID(request.path_params["queue_id"])
    except (KeyError, ValueError):
        identity = uuid4()
    trace = trace_context(identity, request.headers.get("traceparent", "").encode())
    response.headers["X-Trace-ID"] = trace.trace_id
    response.headers["X-Span-ID"] = trace.span_id
    return response


async def _never(_: Request) -> Response:
    raise AssertionError(f"POST {COMPARISON_PATH} is served before the framework ({LPS_SOURCE_SERVICE})")
