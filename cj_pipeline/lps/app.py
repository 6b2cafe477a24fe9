"""The service over HTTP: an ASGI app around a service object.

Here: routes, parsing, the error contract. Not here: what happens to an accepted request (service.py and below).

The app starts nothing: whoever serves it enters the service first. Every endpoint is a coroutine; a plain function
would be run in a thread, which a virtual-time loop cannot wait for.
"""

from __future__ import annotations

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cj_pipeline.contracts.comparison import ComparisonRequest, QueuedResponse
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.finite import all_finite
from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.lps.refusals import FlatRefusal, NestedRefusal, Refusal
from cj_pipeline.lps.service import LlmProviderService

VERSION = "1.0.0"


def build_app(service: LlmProviderService) -> Starlette:
    """The app of one service."""
    endpoints = _Endpoints(service)
    return Starlette(
        routes=[
            Route("/api/v1/comparison", endpoints.comparison, methods=["POST"]),
            Route("/admin/mock-mode", endpoints.mock_mode, methods=["GET"]),
            Route("/healthz", endpoints.healthz, methods=["GET"]),
            Route("/metrics", endpoints.metrics, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _internal_error},
    )


def parse_request(content_type: str, body: bytes) -> ComparisonRequest:
    """A request from its HTTP body. Raises Refusal (400), which names fields and never repeats the input."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise FlatRefusal(400, "No JSON data provided", details="Send the request as application/json.")
    try:
        request = ComparisonRequest.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error, body) from None
    if not all_finite(request):  # a callback could not echo it
        raise FlatRefusal(400, "Malformed JSON", details="NaN and Infinity are not JSON.")
    return request


def _refusal(error: ValidationError, body: bytes) -> Refusal:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if body.strip() in (b"", b"null") or b"".join(body.split()) == b"{}":
        return FlatRefusal(400, "No JSON data provided")
    if problems[0]["type"] == "json_invalid":
        return FlatRefusal(400, "Malformed JSON", details="The body is not valid JSON.")
    if [(problem["loc"], problem["type"]) for problem in problems] == [(("callback_topic",), "string_too_short")]:
        return NestedRefusal(
            400,
            ErrorCode.CONFIGURATION_ERROR,
            "callback_topic must not be empty.",
            correlation_id=None,
            details={"config_key": "callback_topic"},
        )
    lines = []
    for problem in problems:
        field = ".".join(str(part) for part in problem["loc"]) or "(body)"
        # After the comma the UUID parser quotes the character it stumbled over.
        told = problem["msg"].partition(",")[0] if problem["type"] == "uuid_parsing" else problem["msg"]
        lines.append(f"{field}: {told}")
    return FlatRefusal(400, f"Invalid request format: {'; '.join(lines)}")


class _Endpoints:
    def __init__(self, service: LlmProviderService) -> None:
        self._service = service

    async def comparison(self, request: Request) -> Response:
        service = self._service
        parsed: ComparisonRequest | None = None
        try:
            parsed = parse_request(request.headers.get("content-type", ""), await request.body())
            queued = service.submit(parsed)
        except Refusal as refusal:
            self._count_refusal(parsed)
            return JSONResponse(refusal.body(service.clock.now()), refusal.status, headers=refusal.headers)
        accepted = QueuedResponse(
            queue_id=queued.queue_id,
            message=f"Request queued. The result will be published to {queued.request.callback_topic}.",
        )
        return Response(accepted.model_dump_json(), 202, media_type="application/json")

    def _count_refusal(self, parsed: ComparisonRequest | None) -> None:
        overrides = parsed.llm_config_overrides if parsed is not None else None
        if overrides is None or overrides.provider_override is None:
            self._service.metrics.refused()
            return
        registered = self._service.providers.get(overrides.provider_override)
        provider = overrides.provider_override if registered is None else registered.name
        self._service.metrics.refused(provider, overrides.model_override)

    async def mock_mode(self, _: Request) -> Response:
        service = self._service
        if not service.settings.admin_api_enabled:
            return JSONResponse({"error": "admin_api_disabled"}, 404)
        return JSONResponse(
            {
                "use_mock_llm": service.settings.use_mock_llm,
                "mock_mode": _mode_or_null(service),
                # Requests must name their provider; whichever they name, the mock is who can answer.
                "default_provider": Provider.MOCK.value,
            }
        )

    async def healthz(self, _: Request) -> Response:
        service = self._service
        if not service.providers:
            message = "No provider is registered: set USE_MOCK_LLM or ALLOW_MOCK_PROVIDER."
        elif not service.running:
            message = "The queue worker is not running."
        else:
            message = "The service answers comparisons."
        healthy = bool(service.providers) and service.running
        body = {
            "service": LPS_SOURCE_SERVICE,
            "status": "healthy" if healthy else "unhealthy",
            "message": message,
            "version": VERSION,
            "checks": {"service_responsive": service.running},
            "environment": service.settings.environment,
            "providers": {name.value: {"enabled": True, "configured": True} for name in service.providers},
            "mock_mode": _mode_or_null(service),
            "mock_provider": {
                "allowed": service.settings.allow_mock_provider,
                "registered": Provider.MOCK in service.providers,
                "seed": service.settings.mock_provider_seed,
            },
        }
        return JSONResponse(body, 200 if healthy else 503)

    async def metrics(self, _: Request) -> Response:
        return Response(
            self._service.metrics.exposition(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )


def _mode_or_null(service: LlmProviderService) -> str | None:
    expression = service.mode.expression
    return None if expression == "default" else expression


async def _http_error(_: Request, error: Exception) -> Response:
    """An unknown path, a wrong method."""
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _internal_error(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "Internal server error"}, 500)
