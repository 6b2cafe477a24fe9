"""This module speaks OpenRouter's chat completions, which pass a request on to other providers' models."""

from __future__ import annotations

from typing import Any

from cj_pipeline.contracts.callback import MAX_JUSTIFICATION_WORDS
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.apis.api import ApiCall, Reply, Timeouts, effort, max_tokens, temperature
from cj_pipeline.services.lps.providers.apis.chat_completion import read_chat_completion
from cj_pipeline.services.lps.providers.manifest import Model
from cj_pipeline.services.lps.providers.prompts import shown_prompt
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

# `json_object` promises JSON, not which: without these words the model would have to guess the keys.
FORMAT_INSTRUCTION = (
    'Answer with one JSON object and nothing else: "winner" is "Essay A" or "Essay B", "justification" says why in at'
    f' most {MAX_JUSTIFICATION_WORDS} words, "confidence" is a number from 1 (a guess) to 5 (certain).'
)

MIN_MAX_TOKENS = 100

# A low guess for prose in any language, so that the estimate of a prompt's tokens is a high one.
_CHARS_PER_TOKEN = 3

# What a Claude model needs at least for reasoning; with less room there is none left for the verdict.
_MIN_REASONING_TOKENS = 1024


class OpenRouterApi:
    """JSON asked for in words: not every model behind it can be held to a schema."""

    name = Provider.OPENROUTER
    timeouts = Timeouts(total_s=50, connect_s=10, read_s=40)

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings
        self.default_model = settings.openrouter_default_model

    def call(self, request: QueuedRequest, model: Model) -> ApiCall:
        """One chat completion."""
        payload = self.payload(request, model)
        return ApiCall(
            url=f"{self._settings.openrouter_base_url}/chat/completions",
            headers={"Authorization": f"Bearer {self._settings.openrouter_api_key.get_secret_value().strip()}"},
            payload=payload,
            max_tokens=payload["max_tokens"],
        )

    def payload(self, request: QueuedRequest, model: Model) -> dict[str, Any]:
        """The body of the call."""
        overrides = request.overrides
        system = "\n\n".join(part for part in (overrides.system_prompt_override, FORMAT_INSTRUCTION) if part)
        user = shown_prompt(self.name, request.request)
        room = model.context_window - (len(system) + len(user)) // _CHARS_PER_TOKEN
        limit = max(MIN_MAX_TOKENS, min(max_tokens(overrides, self._settings, model), room))
        payload: dict[str, Any] = {
            "model": model.model_id,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "response_format": {"type": "json_object"},
            "max_tokens": limit,
        }
        reasoning = effort(overrides, model)
        if reasoning is not None and limit > _MIN_REASONING_TOKENS:
            # Claude models refuse a temperature while they reason, behind OpenRouter too.
            return payload | {"reasoning": {"effort": reasoning}}
        warmth = temperature(overrides, self._settings, model)
        return payload if warmth is None else payload | {"temperature": warmth}

    def read(self, body: bytes) -> Reply:
        """See `Api.read`."""
        return read_chat_completion(body)
