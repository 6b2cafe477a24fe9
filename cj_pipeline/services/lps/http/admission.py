"""This module decides which requests are accepted, and works out once what is needed of each later.

Providers, models, capabilities and topics are checked here; the shape of a request is not.

Production took everything that fitted the shape, and failed it minutes later by callback, if its topic existed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from fnmatch import translate
from uuid import UUID, uuid4

from cj_pipeline.contracts.comparison import ComparisonRequest, LLMConfigOverrides
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.topics import is_topic_name
from cj_pipeline.foundation.clock import LoopClock
from cj_pipeline.services.lps.http.refusals import FlatRefusal, NestedRefusal
from cj_pipeline.services.lps.providers.manifest import Manifest, check_overrides
from cj_pipeline.services.lps.providers.model_labels import ModelLabels
from cj_pipeline.services.lps.providers.prompts import prompt_sha256
from cj_pipeline.services.lps.providers.provider import LlmProvider
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest, queue_id_of
from cj_pipeline.services.lps.queue.trace_context import TraceContext
from cj_pipeline.services.lps.settings import variable_that_enables

# The mock plays any model; its name still becomes a label and a field of every callback.
MODEL_NAME_PATTERN = r"[A-Za-z0-9._:/@+-]{1,128}"

_MODEL_NAME = re.compile(MODEL_NAME_PATTERN)

TimeToLive = Callable[[datetime], float]


class Admission:
    """What one service accepts.

    providers: by the name that requests use; default_models: asked when a request names none; ttl_s: how long a request
    may wait, by when it is accepted; switched_off: providers that a setting keeps from being asked; callback_topics:
    patterns of those that a request may name. Raises UnknownModel when the manifest lacks the default model of a
    provider.
    """

    def __init__(
        self,
        manifest: Manifest,
        providers: Mapping[Provider, LlmProvider],
        default_models: Mapping[Provider, str],
        ttl_s: TimeToLive,
        *,
        switched_off: Collection[Provider] = (),
        mock_takes_any_model: bool = False,
        callback_topics: Sequence[str] = ("*",),
    ) -> None:
        self._manifest = manifest
        self._default_models = default_models
        for provider, model in default_models.items():
            if provider in providers:  # a team's manifest need not have the models of the others
                manifest.find(provider, model)
        self._providers = providers
        self._switched_off = switched_off
        self._topics = re.compile("|".join(translate(pattern) for pattern in callback_topics) or r"(?!)")
        self._ttl_s = ttl_s
        self._mock_takes_any_model = mock_takes_any_model
        self._labels = ModelLabels(manifest)
        # Overrides come by the thousand and differ by the dozen; what one was found to be, the next equal one is.
        self._checked: dict[tuple[object, ...], dict[str, str]] = {}

    def admit(
        self, request: ComparisonRequest, clock: LoopClock, size_bytes: int, sent_trace: TraceContext | None = None
    ) -> QueuedRequest:
        """The request as it is queued. Raises Refusal."""
        correlation_id = request.correlation_id or uuid4()
        overrides = request.llm_config_overrides
        if overrides is None or overrides.provider_override is None:
            raise FlatRefusal(
                400,
                "Provider configuration required",
                details="llm_config_overrides.provider_override must name a provider.",
                correlation_id=correlation_id,
            )
        if not is_topic_name(request.callback_topic):
            raise NestedRefusal(
                400,
                ErrorCode.LLM_INVALID_CALLBACK_TOPIC,
                "callback_topic is not a name that a topic can have: 1 to 249 letters, digits, '.', '_' or '-'.",
                correlation_id=correlation_id,
                details={"config_key": "callback_topic"},
            )
        if self._topics.match(request.callback_topic) is None:
            raise NestedRefusal(
                400,
                ErrorCode.LLM_INVALID_CALLBACK_TOPIC,
                "callback_topic is none that requests may name here; LLM_PROVIDER_SERVICE_CALLBACK_TOPICS lists them.",
                correlation_id=correlation_id,
                details={"config_key": "callback_topic"},
            )
        provider = self._providers.get(overrides.provider_override)
        if provider is None:
            raise self._not_registered(overrides.provider_override, correlation_id)
        self._require_fitting(overrides, overrides.provider_override, correlation_id)
        return self.revive(request, correlation_id, clock.now(), clock.monotonic(), size_bytes, sent_trace=sent_trace)

    def revive(
        self,
        request: ComparisonRequest,
        correlation_id: UUID,
        requested_at: datetime,
        enqueued_at: float,
        size_bytes: int,
        *,
        attempts: int = 0,
        sent_trace: TraceContext | None = None,
    ) -> QueuedRequest:
        """A request that was let in before, unchecked: what was accepted gets its callback, whatever holds now.

        Raises ValueError when it names no provider, which `admit` never lets in.
        """
        overrides = request.llm_config_overrides
        if overrides is None or overrides.provider_override is None:
            raise ValueError("the request names no provider")
        named = overrides.provider_override
        provider = self._providers.get(named)
        resolved = named if provider is None else provider.name
        return QueuedRequest(
            queue_id=queue_id_of(correlation_id),
            correlation_id=correlation_id,
            request=request,
            overrides=overrides,
            provider=named,
            resolved_provider=resolved,
            model_label=self._labels.of(overrides.model_override),
            prompt_sha256=prompt_sha256(resolved, request),
            requested_at=requested_at,
            enqueued_at=enqueued_at,
            expires_at=enqueued_at + self._ttl_s(requested_at),
            size_bytes=size_bytes,
            attempts=attempts,
            sent_trace=sent_trace,
        )

    def model_label(self, model: str | None) -> str:
        """A model as metrics name it."""
        return self._labels.of(model)

    def _not_registered(self, provider: Provider, correlation_id: UUID) -> NestedRefusal:
        return NestedRefusal(
            400,
            ErrorCode.CONFIGURATION_ERROR,
            f"Provider '{provider}' is switched off: {variable_that_enables(provider)} is false."
            if provider in self._switched_off
            else f"Provider '{provider}' is not registered.",
            correlation_id=correlation_id,
            details={
                "config_key": "provider_override",
                "registered_providers": [name.value for name in self._providers],
            },
        )

    def _require_fitting(self, overrides: LLMConfigOverrides, provider: Provider, correlation_id: UUID) -> None:
        model = overrides.model_override
        # Before anything is kept or said of it: it may be a prompt that landed in the wrong field, of any length.
        if model is not None and _MODEL_NAME.fullmatch(model) is None:
            raise _misfit(
                {"model_override": "A model's name has 1 to 128 letters, digits or '._:/@+-'."}, correlation_id
            )
        key = (
            provider,
            model,
            overrides.max_tokens_override,
            overrides.reasoning_effort,
            overrides.output_verbosity,
        )
        if key not in self._checked:
            if len(self._checked) > 10_000:
                self._checked.clear()
            self._checked[key] = self._problems(overrides, provider)
        problems = self._checked[key]
        if problems:
            raise _misfit(problems, correlation_id)

    def _problems(self, overrides: LLMConfigOverrides, provider: Provider) -> dict[str, str]:
        answers = self._providers[provider].name
        if self._mock_takes_any_model and answers is Provider.MOCK:
            return {}
        found = check_overrides(self._manifest, provider, overrides, default_model=self._default_models.get(provider))
        return {problem.field: problem.message for problem in found}


def _misfit(problems: dict[str, str], correlation_id: UUID) -> NestedRefusal:
    """problems: by field of the overrides."""
    return NestedRefusal(
        400,
        ErrorCode.LLM_INVALID_CONFIG,
        " ".join(problems.values()),
        correlation_id=correlation_id,
        details={"fields": problems},
    )
