"""This module holds the endpoints of the service, one method for each operation of the OpenAPI document."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cj_pipeline.contracts.comparison import ComparisonRequest, QueuedResponse
from cj_pipeline.contracts.enums import QueueStatus
from cj_pipeline.services.lps.http.answers import Answer, MockModeState, RequestStatus, UnknownProviderError
from cj_pipeline.services.lps.http.comparison import read_comparison
from cj_pipeline.services.lps.http.health import health
from cj_pipeline.services.lps.http.model_list import model_list
from cj_pipeline.services.lps.http.openapi import openapi_document
from cj_pipeline.services.lps.http.openapi_operations import LISTABLE_PROVIDERS
from cj_pipeline.services.lps.http.provider_report import providers_report
from cj_pipeline.services.lps.http.provider_trial import try_provider
from cj_pipeline.services.lps.http.refusals import FlatRefusal
from cj_pipeline.services.lps.queue.queue import Known
from cj_pipeline.services.lps.queue.trace_context import sent_trace
from cj_pipeline.services.lps.service import LlmProviderService

_OVER = frozenset({QueueStatus.COMPLETED, QueueStatus.FAILED, QueueStatus.EXPIRED})

Endpoint = Callable[[Request], Awaitable[Response]]


class Endpoints:
    """The endpoints of one service. Each may raise Refusal."""

    def __init__(self, service: LlmProviderService) -> None:
        self._service = service

    def by_operation(self) -> dict[str, Endpoint]:
        """Return the endpoints by the name of their operation."""
        return {
            "comparison": self._comparison,
            "status": self._status,
            "results": self._results,
            "models": self._models,
            "providers": self._providers,
            "try_provider": self._try_provider,
            "mock_mode": self._mock_mode,
            "healthz": self._healthz,
            "metrics": self._metrics,
            "openapi": self._openapi,
        }

    async def _comparison(self, request: Request) -> Response:
        service = self._service
        comparison: ComparisonRequest | None = None
        try:
            comparison = await read_comparison(request, service.settings.max_request_bytes)
            queued = await service.submit(comparison, sent_trace(request.headers.get("traceparent", "").encode()))
        except Exception:
            service.count_refused(comparison)
            raise
        request.state.queue_id = queued.queue_id
        message = f"Request queued. The result will be published to {comparison.callback_topic}."
        return json_response(QueuedResponse(queue_id=queued.queue_id, message=message), 202)

    async def _status(self, request: Request) -> Response:
        return json_response(_status_of(await self._known(request)))

    async def _results(self, request: Request) -> Response:
        """Return the callback's envelope, byte for byte as the bus gets it, once there is one."""
        known = await self._known(request)
        if known.status not in _OVER:
            return json_response(_status_of(known), 202)
        if known.callback is None:
            raise FlatRefusal(
                410, "Result no longer kept", details=f"It was published as a callback; its status is {known.status}."
            )
        return Response(known.callback, media_type="application/json")

    async def _models(self, request: Request) -> Response:
        named = request.query_params.get("provider")
        deprecated = _flag(request, "include_deprecated")
        listed = [provider for provider in LISTABLE_PROVIDERS if named in (None, provider.value)]
        if not listed:
            known = list(LISTABLE_PROVIDERS)
            return json_response(UnknownProviderError(error="Unknown provider", valid_providers=known), 400)
        return json_response(model_list(self._service.manifest, listed, include_deprecated=deprecated))

    async def _providers(self, _: Request) -> Response:
        return json_response(providers_report(self._service))

    async def _try_provider(self, request: Request) -> Response:
        self._require_admin(request)
        return json_response(await try_provider(self._service, request.path_params["provider"]))

    async def _mock_mode(self, _: Request) -> Response:
        # Suites ask it first and have no key: what it tells is no secret.
        self._require_admin_routes()
        settings = self._service.settings
        return json_response(
            MockModeState(
                use_mock_llm=settings.use_mock_llm,
                mock_mode=self._service.mode_name,
                default_provider=settings.default_llm_provider,
            )
        )

    async def _healthz(self, _: Request) -> Response:
        answer = await health(self._service)
        return json_response(answer, 200 if answer.status == "healthy" else 503)

    async def _metrics(self, _: Request) -> Response:
        available = {name: provider.held_s <= 0.0 for name, provider in self._service.providers.items()}
        return Response(
            self._service.metrics.exposition(await self._service.depth(), available),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def _openapi(self, _: Request) -> Response:
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

    def _require_admin_routes(self) -> None:
        if not self._service.settings.admin_api_enabled:
            raise FlatRefusal(404, "admin_api_disabled")

    def _require_admin(self, request: Request) -> None:
        self._require_admin_routes()
        key = self._service.settings.admin_key()
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


def json_response(answer: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a model as a response."""
    body = answer.json_bytes() if isinstance(answer, Answer) else answer.model_dump_json()
    return Response(body, status, headers, media_type="application/json")


def _status_of(known: Known) -> RequestStatus:
    has_result = known.status in _OVER and known.callback is not None
    return RequestStatus(
        queue_id=known.queue_id,
        correlation_id=known.correlation_id,
        status=known.status,
        attempts=known.attempts,
        callback_published=known.published,
        result_location=f"/api/v1/results/{known.queue_id}" if has_result else None,
    )


def _flag(request: Request, name: str) -> bool:
    given = request.query_params.get(name, "false").lower()
    if given not in ("true", "false", "1", "0"):
        raise FlatRefusal(400, f"{name} is not true or false")
    return given in ("true", "1")
