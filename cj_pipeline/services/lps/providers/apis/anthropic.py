"""This module speaks Anthropic's Messages API: the payload of a comparison, and its reply.

The verdict comes as the input of a tool. Extended thinking is refused together with a forced tool and with any
temperature but 1, so a request that asks for effort leaves the choice to the model, tells it what to choose, and sends
no temperature.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from cj_pipeline.contracts.callback import MAX_JUSTIFICATION_CHARS, TokenUsage
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.apis.anthropic_caching import cached_parts
from cj_pipeline.services.lps.providers.apis.api import (
    ApiCall,
    Reply,
    ReplyPart,
    Timeouts,
    Truncated,
    effort,
    max_tokens,
    no_verdict,
    temperature,
)
from cj_pipeline.services.lps.providers.apis.verdict import parse_verdict, verdict_schema
from cj_pipeline.services.lps.providers.cost import Usage
from cj_pipeline.services.lps.providers.manifest import Model
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

BASE_URL = "https://api.anthropic.com/v1"
TOOL_NAME = "comparison_result"
CALL_THE_TOOL = f"Give your verdict by calling the tool {TOOL_NAME}, once, and answer in no other way."

# Both are part of the API by now; gateways in front of it may still ask for the header.
CACHING_BETAS = "prompt-caching-2024-07-31,extended-cache-ttl-2025-04-11"

_MAX_TEMPERATURE = 1.0
_MIN_BUDGET = 1024
_BUDGETS = {"low": 2048, "medium": 8000, "high": 16_000}


class AnthropicApi:
    """Structured output by tool use."""

    name = Provider.ANTHROPIC
    timeouts = Timeouts(total_s=45, connect_s=8, read_s=35)

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings
        self.default_model = settings.anthropic_default_model

    def call(self, request: QueuedRequest, model: Model) -> ApiCall:
        """One message."""
        payload = self.payload(request, model)
        headers = {
            "x-api-key": self._settings.anthropic_api_key.get_secret_value().strip(),
            "anthropic-version": model.api_version,
        }
        if self._settings.enable_prompt_caching:
            headers["anthropic-beta"] = CACHING_BETAS
        return ApiCall(
            url=f"{self._settings.anthropic_base_url or BASE_URL}/messages",
            headers=headers,
            payload=payload,
            max_tokens=payload["max_tokens"],
        )

    def payload(self, request: QueuedRequest, model: Model) -> dict[str, Any]:
        """The body of the call. Raises prompts.InvalidPromptBlocks."""
        overrides = request.overrides
        limit = max_tokens(overrides, self._settings, model)
        parts = cached_parts(_tool(), overrides.system_prompt_override, request.request, self._settings)
        payload: dict[str, Any] = {
            "model": model.model_id,
            "max_tokens": limit,
            "tools": [parts.tool],
            "messages": [{"role": "user", "content": parts.user}],
            "metadata": {"user_id": str(request.correlation_id)},
        }
        system = parts.system
        asked = effort(overrides, model)
        if asked in _BUDGETS and limit > _MIN_BUDGET:
            budget = max(_MIN_BUDGET, min(_BUDGETS[asked], limit - 1))
            payload["thinking"] = {"type": "enabled", "budget_tokens": budget}
            payload["tool_choice"] = {"type": "auto"}
            system = [*system, {"type": "text", "text": CALL_THE_TOOL}]
        else:
            payload["tool_choice"] = {"type": "tool", "name": TOOL_NAME}
            warmth = temperature(overrides, self._settings, model)
            if warmth is not None:
                # Requests may ask for up to 2, which is what other providers take.
                payload["temperature"] = min(warmth, _MAX_TEMPERATURE)
        if system:
            payload["system"] = system
        return payload

    def read(self, body: bytes) -> Reply:
        """See `Api.read`."""
        message = _Message.model_validate_json(body)
        if message.stop_reason == "max_tokens":
            raise Truncated("max_tokens")
        used = next((part for part in message.content if part.type == "tool_use" and part.name == TOOL_NAME), None)
        if used is None:
            raise no_verdict(message.stop_reason)
        return Reply(verdict=parse_verdict(used.input), usage=_usage(message.usage))


def _tool() -> dict[str, Any]:
    schema = verdict_schema()
    schema["properties"]["justification"]["maxLength"] = MAX_JUSTIFICATION_CHARS
    return {"name": TOOL_NAME, "description": "Takes the verdict on the two essays.", "input_schema": schema}


class _Block(ReplyPart):
    type: str
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
