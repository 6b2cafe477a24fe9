"""This module asks one provider's API over HTTP: one attempt, from a request to an answer or a failure."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

import httpx
from pydantic import ValidationError

from cj_pipeline.contracts.answer import ProviderAnswer, ProviderError
from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.services.lps.providers.apis import failures
from cj_pipeline.services.lps.providers.apis.api import Api, ApiCall, ErrorInReply, Reply, Truncated
from cj_pipeline.services.lps.providers.apis.structure import LearnedStructures
from cj_pipeline.services.lps.providers.apis.verdict import BadReply
from cj_pipeline.services.lps.providers.breaker import CircuitState
from cj_pipeline.services.lps.providers.cost import Usage, cost_usd
from cj_pipeline.services.lps.providers.endpoint import time_limits
from cj_pipeline.services.lps.providers.manifest import Manifest, Model, UnknownModel
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.model import StructuredOutput
from cj_pipeline.services.lps.providers.prompts import InvalidPromptBlocks
from cj_pipeline.services.lps.providers.provider import LlmProvider
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

_log = logging.getLogger(__name__)

# As many as the service may ask at the same time: waiting for a free connection would look like a slow provider.
POOL_SIZE = 1024


class RealProvider(LlmProvider, Protocol):
    """A provider that holds connections."""

    @property
    def circuit_state(self) -> CircuitState:
        """Whether it is being asked at all."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


class HttpProvider:
    """Asks one API. transport: where calls go instead of the network, in tests."""

    circuit_state = CircuitState.CLOSED
    held_s = 0.0

    def __init__(
        self,
        api: Api,
        manifest: Manifest,
        metrics: ProviderMetrics,
        settings: ProviderSettings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._api = api
        self._manifest = manifest
        self._metrics = metrics
        self._in_flight = 0
        self._settings = settings
        self._structures = LearnedStructures(api.name)
        self._client = httpx.AsyncClient(transport=transport, limits=httpx.Limits(max_connections=POOL_SIZE))
        metrics.pool(api.name, size=POOL_SIZE, active=0)

    @property
    def name(self) -> Provider:
        """Who this is."""
        return self._api.name

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def answer(self, request: QueuedRequest, attempt: int) -> ProviderAnswer:
        """Ask once. attempt: for the log alone; every attempt asks the same. Raises ProviderError."""
        model_id = request.overrides.model_override or self._api.default_model
        try:
            return await self._ask(request, self._model(model_id))
        except ProviderError as error:
            details = error.failure.details
            error_type, status = str(details["error_type"]), details.get("http_status")
            self._metrics.failed(self.name, model_id, error_type, status)
            _log.warning(
                "%s gave no answer: %s",
                self.name.value,
                error_type,
                extra={
                    "correlation_id": str(request.correlation_id),
                    "queue_id": str(request.queue_id),
                    "attempt": attempt,
                    "http_status": status,
                },
            )
            raise

    def _model(self, model_id: str) -> Model:
        try:
            return self._manifest.find(self.name, model_id)
        except UnknownModel as unknown:
            raise ProviderError(
                ErrorCode.CONFIGURATION_ERROR,
                str(unknown),
                {"provider": self.name.value, "error_type": "client_error", "retryable": False},
            ) from None

    async def _ask(self, request: QueuedRequest, model: Model) -> ProviderAnswer:
        structure = self._structures.of(model)
        loop = asyncio.get_running_loop()
        while True:
            call = self._call(request, model, structure)
            started = loop.time()
            response = await self._send(call, model)
            milder = self._structures.milder(model, structure, response.status_code, response.content)
            if milder is None:
                break
            structure = milder
        received = loop.time()
        if response.status_code != httpx.codes.OK:
            raise failures.http_failure(
                self.name, model.model_id, response.status_code, response.headers, response.content
            )
        self._structures.worked(model, structure)
        reply = self._read(response, call, model)
        self._metrics.validated(self.name, loop.time() - received)
        return self._answer(reply, model, response_time_ms=round((received - started) * 1000))

    def _call(self, request: QueuedRequest, model: Model, structure: StructuredOutput) -> ApiCall:
        try:
            return self._api.call(request, model, structure)
        except InvalidPromptBlocks as invalid:
            self._metrics.ttl_violation(self.name, model.model_id, invalid.stage)
            raise failures.invalid_blocks(self.name, model.model_id, invalid) from None

    async def _send(self, call: ApiCall, model: Model) -> httpx.Response:
        self._in_flight += 1
        self._metrics.pool(self.name, size=POOL_SIZE, active=self._in_flight)
        try:
            limits = time_limits(self._api.timeouts, self._settings, self._api.endpoint, model)
            # httpx limits the silence between two bytes, not the whole.
            async with asyncio.timeout(limits.total_s):
                return await self._client.post(
                    call.url,
                    headers=dict(call.headers),
                    json=call.payload,
                    timeout=httpx.Timeout(limits.read_s, connect=limits.connect_s),
                )
        except (httpx.RequestError, TimeoutError) as error:
            raise failures.connection_failure(self.name, model.model_id, error) from None
        finally:
            self._in_flight -= 1
            self._metrics.pool(self.name, size=POOL_SIZE, active=self._in_flight)

    def _read(self, response: httpx.Response, call: ApiCall, model: Model) -> Reply:
        try:
            return self._api.read(response.content)
        except ErrorInReply as error:
            failure = failures.http_failure(self.name, model.model_id, error.status, response.headers, response.content)
        except Truncated as cut:
            failure = failures.truncated(self.name, model.model_id, cut.stop_reason, call.max_tokens)
        except BadReply as bad:
            failure = failures.bad_reply(self.name, model.model_id, bad)
        except ValidationError as error:
            failure = failures.bad_reply(self.name, model.model_id, _misshapen(error))
        raise failure

    def _answer(self, reply: Reply, model: Model, *, response_time_ms: int) -> ProviderAnswer:
        usage = reply.usage
        cost = None if usage is None else cost_usd(model, usage)
        if usage is not None and usage.reports_cache:
            self._metrics.cached(self.name, model.model_id, usage.cache_read_tokens, usage.cache_creation_tokens)
        return ProviderAnswer(
            winner=reply.verdict.winner,
            justification=reply.verdict.justification,
            confidence=reply.verdict.confidence,
            model=model.model_id,
            response_time_ms=response_time_ms,
            token_usage=TokenUsage() if usage is None else usage.reported,
            cost_estimate=cost or 0.0,
            metadata=_metadata(usage) | ({"cost_known": False} if cost is None else {}),
        )


def _metadata(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {}
    cached: dict[str, int] = {}
    if usage.reports_cache:
        cached = {
            "cache_read_input_tokens": usage.cache_read_tokens,
            "cache_creation_input_tokens": usage.cache_creation_tokens,
        }
    # The cache figures stand inside `usage` as well: so they do on production's wire.
    return {"usage": usage.reported.model_dump() | cached, **cached}


def _misshapen(error: ValidationError) -> BadReply:
    """Pydantic's first complaint about a reply, by the place alone."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return BadReply(ErrorCode.PARSING_ERROR, "The reply is not JSON.")
    field = ".".join(str(part) for part in first["loc"]) or "(body)"
    return BadReply(ErrorCode.INVALID_RESPONSE, f"The reply's {field} is not as the API documents it.", field=field)
