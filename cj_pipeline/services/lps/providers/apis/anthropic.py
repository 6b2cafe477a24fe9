"""This module speaks Anthropic's Messages API: the payload of a comparison, and its reply.

The verdict comes as the input of a tool. Thinking is refused together with a forced tool and with any temperature
but 1, so a request that asks for effort leaves the choice to the model, tells it what to choose, and sends no
temperature.
"""

from __future__ import annotations

from typing import Any

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.apis.anthropic_caching import cached_parts
from cj_pipeline.services.lps.providers.apis.api import (
    ApiCall,
    Reply,
    max_tokens,
    temperature,
)
from cj_pipeline.services.lps.providers.apis.asking import effort, literal_effort, merged
from cj_pipeline.services.lps.providers.apis.structure import FORMAT_INSTRUCTION, needs_words
from cj_pipeline.services.lps.providers.apis.verdict import verdict_schema
from cj_pipeline.services.lps.providers.endpoint import Timeouts, endpoint_of
from cj_pipeline.services.lps.providers.model import EffortShape, Model, StructuredOutput
from cj_pipeline.services.lps.providers.replies.anthropic import read_message
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

TOOL_NAME = "comparison_result"
CALL_THE_TOOL = f"Give your verdict by calling the tool {TOOL_NAME}, once, and answer in no other way."

# Both are part of the API by now; gateways in front of it may still ask for the header.
CACHING_BETAS = "prompt-caching-2024-07-31,extended-cache-ttl-2025-04-11"

_MAX_TEMPERATURE = 1.0
_MIN_BUDGET = 1024
_BUDGETS = {"low": 2048, "medium": 8000, "high": 16_000}


class AnthropicApi:
    """Structured output by tool use, unless the manifest says otherwise or the server refuses."""

    name = Provider.ANTHROPIC
    timeouts = Timeouts(total_s=45, connect_s=8, read_s=35)

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings
        self.default_model = settings.anthropic_default_model
        self.endpoint = endpoint_of(settings, self.name)

    def call(self, request: QueuedRequest, model: Model, structure: StructuredOutput | None = None) -> ApiCall:
        """One message."""
        payload = self.payload(request, model, structure)
        headers = {"anthropic-version": model.api_version}
        if self._settings.enable_prompt_caching:
            headers["anthropic-beta"] = CACHING_BETAS
        return ApiCall(
            url=self.endpoint.url("/messages", model),
            headers=self.endpoint.authorised(headers, model),
            payload=payload,
            max_tokens=payload.get("max_tokens") or max_tokens(request.overrides, self._settings, model),
        )

    def payload(
        self, request: QueuedRequest, model: Model, structure: StructuredOutput | None = None
    ) -> dict[str, Any]:
        """The body of the call. Raises prompts.InvalidPromptBlocks."""
        overrides = request.overrides
        structure = structure or model.structures()[0]
        limit = max_tokens(overrides, self._settings, model)
        parts = cached_parts(_tool(), overrides.system_prompt_override, request.request, self._settings)
        asked = _effort(overrides, model, limit)
        # What the manifest writes out may make the model think, too.
        thinks = _thinks(merged(asked, model.request))
        payload: dict[str, Any] = {
            "model": model.model_id,
            "max_tokens": limit,
            "messages": [{"role": "user", "content": parts.user}],
            "metadata": {"user_id": str(request.correlation_id)},
        }
        system = parts.system
        if structure is StructuredOutput.TOOL_USE:
            payload["tools"] = [parts.tool]
            payload["tool_choice"] = {"type": "auto"} if thinks else {"type": "tool", "name": TOOL_NAME}
            if thinks:
                system = [*system, {"type": "text", "text": CALL_THE_TOOL}]
        elif structure is StructuredOutput.JSON_SCHEMA:
            payload["output_config"] = {"format": {"type": "json_schema", "schema": _plain_schema()}}
        if needs_words(structure, own_server=True):
            system = [*system, {"type": "text", "text": FORMAT_INSTRUCTION}]
        warmth = temperature(overrides, self._settings, model)
        if warmth is not None and not thinks:
            # Requests may ask for up to 2, which is what other providers take.
            payload["temperature"] = min(warmth, _MAX_TEMPERATURE)
        if system:
            payload["system"] = system
        return merged(merged(payload, asked), model.request)

    def read(self, body: bytes) -> Reply:
        """See `Api.read`."""
        return read_message(body, TOOL_NAME)


def _effort(overrides: LLMConfigOverrides, model: Model, limit: int) -> dict[str, Any]:
    literal, asked = literal_effort(overrides, model), effort(overrides, model)
    if literal is not None:
        return literal
    if asked is None or asked == "none":
        return {}
    if model.effort_shape is EffortShape.ADAPTIVE_THINKING:
        return {"thinking": {"type": "adaptive"}, "output_config": {"effort": asked}}
    if asked not in _BUDGETS or limit <= _MIN_BUDGET:
        return {}
    budget = max(_MIN_BUDGET, min(_BUDGETS[asked], limit - 1))
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _thinks(asked: dict[str, Any]) -> bool:
    thinking = asked.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")


def _tool() -> dict[str, Any]:
    description = "Takes the verdict on the two essays."
    return {"name": TOOL_NAME, "description": description, "input_schema": verdict_schema()}


def _plain_schema() -> dict[str, Any]:
    """The verdict's schema without limits of numbers, which structured output of this API refuses."""
    schema = verdict_schema()
    for limit in ("minimum", "maximum"):
        schema["properties"]["confidence"].pop(limit, None)
    return schema
