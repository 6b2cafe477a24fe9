"""This module speaks Anthropic's Messages API: the payload of a comparison, and its reply.

The verdict comes as the input of a tool. Thinking is refused together with a forced tool and with any temperature
but 1, so a request that asks for effort leaves the choice to the model, tells it what to choose, and sends no
temperature.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.apis.anthropic_caching import cached_parts
from cj_pipeline.services.lps.providers.apis.api import (
    ApiCall,
    Reply,
    ReplyPart,
    Truncated,
    max_tokens,
    no_verdict,
    temperature,
)
from cj_pipeline.services.lps.providers.apis.asking import effort, literal_effort, merged
from cj_pipeline.services.lps.providers.apis.structure import FORMAT_INSTRUCTION, needs_words
from cj_pipeline.services.lps.providers.apis.verdict import parse_verdict, parse_verdict_text, verdict_schema
from cj_pipeline.services.lps.providers.cost import Usage
from cj_pipeline.services.lps.providers.endpoint import Timeouts, endpoint_of
from cj_pipeline.services.lps.providers.model import EffortShape, Model, StructuredOutput
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
        message = _Message.model_validate_json(body)
        if message.stop_reason == "max_tokens":
            raise Truncated("max_tokens")
        used = next((part for part in message.content if part.type == "tool_use" and part.name == TOOL_NAME), None)
        if used is not None:
            return Reply(verdict=parse_verdict(used.input), usage=_usage(message.usage))
        text = "".join(part.text for part in message.content if part.type == "text")
        if "{" not in text:
            raise no_verdict(message.stop_reason)
        return Reply(verdict=parse_verdict_text(text), usage=_usage(message.usage))


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


class _Block(ReplyPart):
    type: str
    text: str = ""
    name: str | None = None
    input: object = None


class _CacheCreation(ReplyPart):
    five_minutes: int = Field(default=0, ge=0, alias="ephemeral_5m_input_tokens")
    one_hour: int = Field(default=0, ge=0, alias="ephemeral_1h_input_tokens")


class _Usage(ReplyPart):
    input_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    cache_read_input_tokens: int | None = Field(default=None, ge=0)
    cache_creation_input_tokens: int | None = Field(default=None, ge=0)
    cache_creation: _CacheCreation | None = None


class _Message(ReplyPart):
    content: tuple[_Block, ...] = ()
    stop_reason: str | None = None
    usage: _Usage | None = None


def _usage(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    one_hour = usage.cache_creation.one_hour if usage.cache_creation else 0
    created = usage.cache_creation_input_tokens or 0
    return Usage(
        # As the API counts: its input tokens leave out what the cache read or wrote.
        reported=TokenUsage(
            prompt_tokens=usage.input_tokens,
            completion_tokens=usage.output_tokens,
            total_tokens=usage.input_tokens + usage.output_tokens,
        ),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_input_tokens or 0,
        cache_write_5m_tokens=max(0, created - one_hour),
        cache_write_1h_tokens=one_hour,
        reports_cache=usage.cache_read_input_tokens is not None or usage.cache_creation_input_tokens is not None,
    )
