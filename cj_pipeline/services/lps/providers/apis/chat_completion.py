"""This module holds what is common to Chat Completions, which OpenAI defined and OpenRouter and others speak too."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.services.lps.providers.apis.api import ErrorInReply, Reply, ReplyPart, Truncated, no_verdict
from cj_pipeline.services.lps.providers.apis.verdict import parse_verdict_text, verdict_schema
from cj_pipeline.services.lps.providers.cost import Usage
from cj_pipeline.services.lps.providers.model import Model, StructuredOutput


def chat_messages(system: str, user: str, model: Model) -> list[dict[str, str]]:
    """The turns of a comparison. system: may be empty."""
    if not system:
        return [{"role": "user", "content": user}]
    if not model.supports_system_prompt:
        return [{"role": "user", "content": f"{system}\n\n{user}"}]
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def response_format(structure: StructuredOutput) -> dict[str, Any]:
    """The part of the body that asks for a shape; nothing where the prompt alone does."""
    if structure is StructuredOutput.JSON_SCHEMA:
        schema = {"name": "comparison_result", "strict": True, "schema": verdict_schema()}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if structure is StructuredOutput.JSON_OBJECT:
        return {"response_format": {"type": "json_object"}}
    return {}


class _Error(ReplyPart):
    code: int | str | None = None


class _Message(ReplyPart):
    content: str | None = None
    refusal: str | None = None


class _Choice(ReplyPart):
    message: _Message | None = None
    finish_reason: str | None = None
    error: _Error | None = None


class _PromptTokens(ReplyPart):
    cached_tokens: int | None = Field(default=None, ge=0)
    cache_write_tokens: int | None = Field(default=None, ge=0)


class _Usage(ReplyPart):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)
    total_tokens: int = Field(ge=0)
    prompt_tokens_details: _PromptTokens | None = None


class _ChatCompletion(ReplyPart):
    choices: tuple[_Choice, ...] | None = None
    usage: _Usage | None = None
    error: _Error | None = None


def read_chat_completion(body: bytes) -> Reply:
    """The verdict of the first choice. Raises as `Api.read` does."""
    completion = _ChatCompletion.model_validate_json(body)
    choice = completion.choices[0] if completion.choices else None
    error = completion.error or (choice.error if choice is not None else None)
    if error is not None:
        raise ErrorInReply(_status(error.code))
    if choice is None:
        raise no_verdict(None)
    if choice.finish_reason == "length":
        raise Truncated("length")
    message = choice.message or _Message()
    # A content filter may leave half a verdict behind; it is none.
    if message.refusal or message.content is None or choice.finish_reason == "content_filter":
        raise no_verdict("refusal" if message.refusal else choice.finish_reason)
    return Reply(verdict=parse_verdict_text(message.content), usage=_usage(completion.usage))


def _status(code: int | str | None) -> int:
    # 502: what OpenRouter itself calls an answer of its upstream that it cannot explain.
    return code if isinstance(code, int) and 400 <= code <= 599 else 502


def _usage(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    details = usage.prompt_tokens_details or _PromptTokens()
    read, written = details.cached_tokens or 0, details.cache_write_tokens or 0
    return Usage(
        reported=TokenUsage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
        ),
        input_tokens=max(0, usage.prompt_tokens - read - written),
        output_tokens=usage.completion_tokens,
        cache_read_tokens=read,
        cache_write_5m_tokens=written,
        reports_cache=details.cached_tokens is not None or details.cache_write_tokens is not None,
    )
