"""This module speaks OpenAI's Chat Completions API: the payload of a comparison.

`reasoning_effort` and `verbosity` are top-level fields of this API; the nested `reasoning` and `text` of the Responses
API are refused here as unknown arguments.
"""

from __future__ import annotations

from typing import Any

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.apis.api import ApiCall, Reply, max_tokens, temperature
from cj_pipeline.services.lps.providers.apis.asking import effort, literal_effort, merged
from cj_pipeline.services.lps.providers.apis.chat_completion import chat_messages, response_format
from cj_pipeline.services.lps.providers.apis.structure import FORMAT_INSTRUCTION, needs_words
from cj_pipeline.services.lps.providers.endpoint import Timeouts, endpoint_of
from cj_pipeline.services.lps.providers.model import EffortShape, Model, StructuredOutput
from cj_pipeline.services.lps.providers.prompts import shown_prompt
from cj_pipeline.services.lps.providers.replies.chat import read_chat_completion
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest


class OpenAiApi:
    """Structured output held to a strict schema, where the server takes one."""

    name = Provider.OPENAI
    timeouts = Timeouts(total_s=30, connect_s=5, read_s=25)

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings
        self.default_model = settings.openai_default_model
        self.endpoint = endpoint_of(settings, self.name)

    def call(self, request: QueuedRequest, model: Model, structure: StructuredOutput | None = None) -> ApiCall:
        """One chat completion."""
        return ApiCall(
            url=self.endpoint.url("/chat/completions", model),
            headers=self.endpoint.authorised({}, model),
            payload=self.payload(request, model, structure),
            max_tokens=max_tokens(request.overrides, self._settings, model),
        )

    def payload(
        self, request: QueuedRequest, model: Model, structure: StructuredOutput | None = None
    ) -> dict[str, Any]:
        """The body of the call."""
        overrides = request.overrides
        structure = structure or model.structures()[0]
        system = overrides.system_prompt_override or ""
        if needs_words(structure, own_server=self.endpoint.of(model).is_the_providers_own):
            system = "\n\n".join(part for part in (system, FORMAT_INSTRUCTION) if part)
        payload: dict[str, Any] = {
            "model": model.model_id,
            "messages": chat_messages(system, shown_prompt(self.name, request.request), model),
            **response_format(structure),
            "max_completion_tokens" if model.uses_max_completion_tokens else "max_tokens": max_tokens(
                overrides, self._settings, model
            ),
        }
        warmth = temperature(overrides, self._settings, model)
        if warmth is not None:
            payload["temperature"] = warmth
        literal, reasoning = literal_effort(overrides, model), effort(overrides, model)
        if literal is not None:
            payload = merged(payload, literal)
        elif reasoning is not None:
            shaped = model.effort_shape is EffortShape.REASONING
            payload |= {"reasoning": {"effort": reasoning}} if shaped else {"reasoning_effort": reasoning}
        if overrides.output_verbosity is not None and model.takes_verbosity(overrides.output_verbosity):
            payload["verbosity"] = overrides.output_verbosity.value
        return merged(payload, model.request)

    def read(self, body: bytes) -> Reply:
        """See `Api.read`."""
        return read_chat_completion(body)
