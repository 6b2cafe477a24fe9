"""This module asks one provider's API over HTTP: one attempt, from a request to an answer or a failure."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Any, Protocol

import httpx
from pydantic import ValidationError

from cj_pipeline.contracts.answer import ProviderAnswer, ProviderError
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.forgiven import Forgiven
from cj_pipeline.contracts.reasons import (
    ASKED_AGAIN,
    CONFIDENCE_KNOWN,
    FORGIVEN,
    REASON,
    UNKNOWN_CONFIDENCE,
    Reason,
)
from cj_pipeline.services.lps.providers.apis import failures
from cj_pipeline.services.lps.providers.apis.api import Api, ApiCall, ErrorInReply, Reply, Truncated, temperature
from cj_pipeline.services.lps.providers.apis.structure import LearnedStructures
from cj_pipeline.services.lps.providers.apis.verdict import BadReply
from cj_pipeline.services.lps.providers.breaker import CircuitState
from cj_pipeline.services.lps.providers.endpoint import past_proxies, time_limits
from cj_pipeline.services.lps.providers.kept_replies import kept_replies
from cj_pipeline.services.lps.providers.manifest import Manifest, Model, UnknownModel, addresses_of
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.model import StructuredOutput
from cj_pipeline.services.lps.providers.prompts import InvalidPromptBlocks
from cj_pipeline.services.lps.providers.provider import LlmProvider
from cj_pipeline.services.lps.providers.reply_body import ReplyTooLong, whole_reply
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.providers.spending import Spending
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

_log = logging.getLogger(__name__)

# As many as the service may ask at the same time: waiting for a free connection would look like a slow provider.
POOL_SIZE = 1024

# After a slower answer a second one may not be there before the attempt's time is over (300 s).
_SLOW_S = 100.0


class RealProvider(LlmProvider, Protocol):
    """A provider that holds connections."""

    @property
    def circuit_state(self) -> CircuitState:
        """Whether it is being asked at all."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with the call that would ask for it."""

    request: QueuedRequest
    model: Model
    structure: StructuredOutput
    call: ApiCall


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
        self._kept = kept_replies(settings.keep_replies_dir, settings.keep_replies_max_mb)
        self._client = httpx.AsyncClient(
            transport=transport,
            limits=httpx.Limits(max_connections=POOL_SIZE),
            mounts=past_proxies((api.endpoint.base_url, *addresses_of(manifest, api.name))),
        )
        metrics.pool(api.name, size=POOL_SIZE, active=0)

    @property
    def name(self) -> Provider:
        """Who this is."""
        return self._api.name

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def answer(self, request: QueuedRequest, attempt: int) -> ProviderAnswer:
        """Ask until there is a verdict, as often as the settings say. attempt: for the log alone.

        Raises ProviderError.
        """
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
                details[REASON],
                extra={
                    "correlation_id": str(request.correlation_id),
                    "queue_id": str(request.queue_id),
                    "attempt": attempt,
                    "http_status": status,
                },
            )
            raise

    def prepared(self, request: QueuedRequest) -> Prepared:
        """Return the call of a request, for a batch endpoint that takes many at once. Raises ProviderError."""
        model = self._model(request.overrides.model_override or self._api.default_model)
        structure = self._structures.of(model)
        return Prepared(request, model, structure, self._call(request, model, structure, Spending(model)))

    def answer_in_batch(
        self,
        request: QueuedRequest,
        structure: StructuredOutput,
        response: httpx.Response,
        *,
        took_s: float,
        batch_id: str,
    ) -> ProviderAnswer:
        """Return the answer that a batch endpoint has for a request, at its prices. Raises ProviderError.

        structure: how it was asked. took_s: the whole job; an endpoint says nothing of single requests.
        """
        asked = self.prepared(request)
        spending = Spending(asked.model, asks=1, took_s=took_s, in_batch=True)
        try:
            answer = self._answer(self._read_in_batch(asked, structure, response, spending), asked.model, spending)
        except ProviderError as error:
            failure = error.failure
            status = failure.details.get("http_status")
            self._metrics.failed(self.name, asked.model.model_id, str(failure.details["error_type"]), status)
            error.failure = replace(failure, details={**failure.details, **spending.of_failure()})
            raise
        return replace(answer, metadata={**answer.metadata, "provider_batch_id": batch_id})

    def _read_in_batch(
        self, asked: Prepared, structure: StructuredOutput, response: httpx.Response, spending: Spending
    ) -> Reply:
        model, status = asked.model, response.status_code
        if self._kept is not None:
            self._kept.keep(asked.request, model.model_id, 1, status, response.content)
        if status == httpx.codes.OK:
            self._structures.worked(model, structure)
            return self._read(response, asked.call, model, spending)
        error = failures.http_failure(self.name, model.model_id, status, response.headers, response.content)
        milder = self._structures.milder(model, structure, status, response.content)
        if milder is not None:
            self._structures.worked(model, milder)  # the next job asks more mildly
            error.failure = replace(error.failure, details={**error.failure.details, "retryable": True}, retryable=True)
        raise error

    def _model(self, model_id: str) -> Model:
        try:
            model = self._manifest.find(self.name, model_id)
        except UnknownModel as unknown:
            raise self._set_up_wrongly(Reason.UNKNOWN_MODEL, str(unknown)) from None
        at = self._api.endpoint.of(model)
        if model.base_url is None and at.needs_a_key and not at.has_a_key:
            # It is registered for other models, which have addresses of their own.
            raise self._set_up_wrongly(Reason.NOT_REGISTERED, f"{self.name} has no key, which {model_id} needs.")
        return model

    def has_its_own_address(self, request: QueuedRequest) -> bool:
        """Return whether a request's model is asked elsewhere than its provider is."""
        model_id = request.overrides.model_override or self._api.default_model
        known = self._manifest.models(self.name, include_deprecated=True)
        return any(model.base_url is not None for model in known if model.model_id == model_id)

    def _set_up_wrongly(self, reason: Reason, message: str) -> ProviderError:
        return ProviderError(
            ErrorCode.CONFIGURATION_ERROR,
            message,
            {REASON: reason.value, "provider": self.name.value, "error_type": "client_error", "retryable": False},
        )

    async def _ask(self, request: QueuedRequest, model: Model) -> ProviderAnswer:
        """Ask once, and again where the answer holds no verdict and another one may."""
        spending = Spending(model)
        while True:
            try:
                return self._answer(await self._ask_once(request, model, spending), model, spending)
            except ProviderError as error:
                reason = error.failure.details[REASON]
                if not self._asks_again(reason, request, spending):
                    told = {**error.failure.details, **spending.of_failure()}
                    error.failure = replace(error.failure, details=told)
                    raise
                self._metrics.asked_again(self.name, reason)

    def _asks_again(self, reason: str, request: QueuedRequest, spending: Spending) -> bool:
        if reason not in ASKED_AGAIN or spending.asks > self._settings.llm_bad_verdict_retries:
            return False
        if spending.took_s > _SLOW_S:
            return False
        # Left out, the temperature is the model's own, which is none that always writes the same.
        return reason == Reason.EMPTY_ANSWER or temperature(request.overrides, self._settings, spending.model) != 0.0

    async def _ask_once(self, request: QueuedRequest, model: Model, spending: Spending) -> Reply:
        structure = self._structures.of(model)
        loop = asyncio.get_running_loop()
        spending.asks += 1
        while True:
            call = self._call(request, model, structure, spending)
            started = loop.time()
            try:
                response = await self._send(call, model)
            finally:
                spending.took_s += loop.time() - started
            milder = self._structures.milder(model, structure, response.status_code, response.content)
            if milder is None:
                break
            structure = milder
        if self._kept is not None:
            self._kept.keep(request, model.model_id, spending.asks, response.status_code, response.content)
        received = loop.time()
        if not response.is_success:
            raise failures.http_failure(
                self.name, model.model_id, response.status_code, response.headers, response.content
            )
        self._structures.worked(model, structure)
        reply = self._read(response, call, model, spending)
        self._metrics.validated(self.name, loop.time() - received)
        return reply

    def _call(self, request: QueuedRequest, model: Model, structure: StructuredOutput, spending: Spending) -> ApiCall:
        try:
            return self._api.call(request, model, structure)
        except InvalidPromptBlocks as invalid:
            spending.asks = 0  # nothing was sent
            self._metrics.ttl_violation(self.name, model.model_id, invalid.stage)
            raise failures.invalid_blocks(self.name, model.model_id, invalid) from None

    async def _send(self, call: ApiCall, model: Model) -> httpx.Response:
        self._in_flight += 1
        self._metrics.pool(self.name, size=POOL_SIZE, active=self._in_flight)
        try:
            limits = time_limits(self._api.timeouts, self._settings, self._api.endpoint, model)
            # httpx limits the silence between two bytes, not the whole.
            async with (
                asyncio.timeout(limits.total_s),
                self._client.stream(
                    "POST",
                    call.url,
                    headers=dict(call.headers),
                    json=call.payload,
                    timeout=httpx.Timeout(limits.read_s, connect=limits.connect_s),
                ) as response,
            ):
                return await whole_reply(response)
        except ReplyTooLong:
            raise failures.too_long(self.name, model.model_id) from None
        except (httpx.RequestError, TimeoutError) as error:
            raise failures.connection_failure(self.name, model.model_id, error) from None
        finally:
            self._in_flight -= 1
            self._metrics.pool(self.name, size=POOL_SIZE, active=self._in_flight)

    def _read(self, response: httpx.Response, call: ApiCall, model: Model, spending: Spending) -> Reply:
        try:
            reply = self._api.read(response.content)
        except ErrorInReply as error:
            if error.usage is not None:
                spending.usages.append(error.usage)
            raise failures.http_failure(
                self.name, model.model_id, response.status_code, response.headers, response.content
            ) from None
        except Truncated as cut:
            spending.usages.append(cut.usage)
            raise failures.truncated(self.name, model.model_id, cut.stop_reason, call.max_tokens) from None
        except BadReply as bad:
            if bad.usage is not None or bad.reason in ASKED_AGAIN:
                spending.usages.append(bad.usage)
            raise failures.bad_reply(self.name, model.model_id, bad, response.headers, response.status_code) from None
        except ValidationError as error:
            raise failures.bad_reply(self.name, model.model_id, _misshapen(error), response.headers) from None
        spending.usages.append(reply.usage)
        return reply

    def _answer(self, reply: Reply, model: Model, spending: Spending) -> ProviderAnswer:
        usage, verdict = reply.usage, reply.verdict
        if usage is not None and usage.reports_cache:
            self._metrics.cached(self.name, model.model_id, usage.cache_read_tokens, usage.cache_creation_tokens)
        marks: dict[str, Any] = {}
        if verdict.confidence is None:
            marks[CONFIDENCE_KNOWN] = False
        if forgiven := [*verdict.forgiven, *((Forgiven.USAGE_UNKNOWN,) if usage is None else ())]:
            marks[FORGIVEN] = [mark.value for mark in forgiven]
        return ProviderAnswer(
            winner=verdict.winner,
            justification=verdict.justification,
            confidence=UNKNOWN_CONFIDENCE if verdict.confidence is None else verdict.confidence,
            model=model.model_id,
            response_time_ms=spending.took_ms,
            token_usage=spending.tokens(),
            cost_estimate=spending.cost_usd()[0],
            metadata=spending.of_answer() | marks,
        )


def _misshapen(error: ValidationError) -> BadReply:
    """Pydantic's first complaint about a reply, by the place alone."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "(body)"
    return BadReply(Reason.MISSHAPEN, f"The reply's {field} is not as the API documents it.", field=field)
