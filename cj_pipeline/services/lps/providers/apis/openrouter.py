"""This module speaks OpenRouter's chat completions, which pass a request on to other providers' models."""

from __future__ import annotations

from typing import Any

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.apis.api import ApiCall, Reply, max_tokens, temperature
from cj_pipeline.services.lps.providers.apis.asking import effort, literal_effort, merged
from cj_pipeline.services.lps.providers.apis.chat_completion import chat_messages, response_format
from cj_pipeline.services.lps.providers.apis.structure import FORMAT_INSTRUCTION
from cj_pipeline.services.lps.providers.endpoint import Timeouts, endpoint_of
from cj_pipeline.services.lps.providers.model import EffortShape, Model, StructuredOutput
from cj_pipeline.services.lps.providers.prompts import shown_prompt
from cj_pipeline.services.lps.providers.replies.chat import read_chat_completion
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

MIN_MAX_TOKENS = 100

# A low guess for prose in any language, so that the estimate of a prompt's tokens is a high one.
_CHARS_PER_TOKEN = 3

# What a Claude model needs at least for reasoning; with less room there is none left for the verdict.
_MIN_REASONING_TOKENS = 1024


class OpenRouterApi:
    """JSON asked for in words, whatever else is: not every model behind it can be held to a schema."""

    name = Provider.OPENROUTER
    timeouts = Timeouts(total_s=50, connect_s=10, read_s=40)

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings
        self.default_model = settings.openrouter_default_model
        self.endpoint = endpoint_of(settings, self.name)

    def call(self, request: QueuedRequest, model: Model, structure: StructuredOutput | None = None) -> ApiCall:
        """One chat completion."""
        payload = self.payload(request, model, structure)
        return ApiCall(
            url=self.endpoint.url("/chat/completions", model),
            headers=self.endpoint.authorised({}, model),
            payload=payload,
            max_tokens=payload.get("max_tokens") or max_tokens(request.overrides, self._settings, model),
        )

    def payload(
        self, request: QueuedRequest, model: Model, structure: StructuredOutput | None = None
    ) -> dict[str, Any]:
        """The body of the call."""
        overrides = request.overrides
        system = "\n\n".join(part for part in (overrides.system_prompt_override, FORMAT_INSTRUCTION) if part)
        user = shown_prompt(self.name, request.request)
        room = model.context_window - (len(system) + len(user)) // _CHARS_PER_TOKEN
        limit = max(MIN_MAX_TOKENS, min(max_tokens(overrides, self._settings, model), room))
        payload: dict[str, Any] = {
            "model": model.model_id,
            "messages": chat_messages(system, user, model),
            **response_format(structure or model.structures()[0]),
            "max_completion_tokens" if model.uses_max_completion_tokens else "max_tokens": limit,
        }
        literal, reasoning = literal_effort(overrides, model), effort(overrides, model)
        if literal is not None:
            asked = literal
        elif reasoning is None or limit <= _MIN_REASONING_TOKENS:
            asked = {}
        elif model.effort_shape is EffortShape.REASONING:
            asked = {"reasoning": {"effort": reasoning}}
        else:
            asked = {"reasoning_effort": reasoning}
        warmth = temperature(overrides, self._settings, model)
        # Claude models refuse a temperature while they reason, behind OpenRouter too.
        if warmth is not None and not asked:
            payload["temperature"] = warmth
        return merged(merged(payload, asked), model.request)

    def read(self, body: bytes) -> Reply:
        """See `Api.read`."""
        return read_chat_completion(body)
