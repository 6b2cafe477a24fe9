"""This module reads a Chat Completions reply, which OpenAI defined and OpenRouter and others speak too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import field_validator

from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.reasons import Reason
from cj_pipeline.services.lps.providers.apis.api import ErrorInReply, Reply, Truncated, no_verdict, with_usage
from cj_pipeline.services.lps.providers.apis.verdict import BadReply, Verdict, parse_verdict_text, parse_verdicts
from cj_pipeline.services.lps.providers.cost import Usage
from cj_pipeline.services.lps.providers.replies.errors import error_in
from cj_pipeline.services.lps.providers.replies.fields import Lenient, ReplyPart, count_of, read_document, text_of

_CUT_OFF = frozenset({"length", "max_tokens", "model_length"})
_FAILED = frozenset({"error"})


class _Function(ReplyPart):
    arguments: Lenient[str] = None


class _ToolCall(ReplyPart):
    function: Lenient[_Function] = None


class _Message(ReplyPart):
    content: Any = None
    refusal: Lenient[str] = None
    tool_calls: Lenient[list[Lenient[_ToolCall]]] = None

    @field_validator("content")
    @classmethod
    def _has_words(cls, content: Any) -> Any:
        if content is not None and not isinstance(content, str | list | dict):
            raise ValueError("neither a text nor parts of one")
        return content


class _Choice(ReplyPart):
    message: _Message | None = None
    text: Lenient[str] = None
    finish_reason: Lenient[str] = None


class _ChatCompletion(ReplyPart):
    choices: tuple[_Choice, ...] | None = None
    usage: Any = None


def read_chat_completion(body: bytes) -> Reply:
    """Return the verdict of a reply; several choices must agree. Raises as `Api.read` does."""
    document = read_document(body)
    if error_in(document) is not None:
        raise ErrorInReply(_usage(document.get("usage") if isinstance(document, dict) else None))
    completion = _ChatCompletion.model_validate(document)
    usage = _usage(completion.usage)
    return with_usage(usage, lambda: _verdict(completion.choices or ()))


def _verdict(choices: Sequence[_Choice]) -> Verdict:
    ends = {(choice.finish_reason or "").lower() for choice in choices}
    if ends & _FAILED:
        raise BadReply(Reason.GENERATION_FAILED, "The provider says that it failed while the model wrote.")
    if cut := ends & _CUT_OFF:
        raise Truncated(cut.pop())
    messages = [choice.message or _Message() for choice in choices]
    if any(message.refusal for message in messages):
        raise no_verdict("refusal")
    # A content filter may leave half a verdict behind; it is none.
    if "content_filter" in ends:
        raise no_verdict("content_filter")
    objects: list[object] = [message.content for message in messages if isinstance(message.content, dict)]
    texts = [part for choice in choices for part in _texts(choice) if part.strip()]
    if objects:  # some gateways decode it; what is beside it must agree
        return parse_verdicts([*objects, *texts])
    text = "\n".join(texts)
    if not text.strip():
        raise no_verdict(choices[0].finish_reason if choices else None)
    return parse_verdict_text(text)


def _texts(choice: _Choice) -> Iterator[str]:
    """What a choice says: its content, the text of an older API, and the arguments of tools that nobody asked for."""
    message = choice.message or _Message()
    yield text_of(message.content)
    yield choice.text or ""
    for call in message.tool_calls or ():
        yield (call.function.arguments if call is not None and call.function else None) or ""


def _usage(usage: object) -> Usage | None:
    """Return the tokens; None where one of the two counts is missing or none."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = count_of(usage.get("prompt_tokens")), count_of(usage.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    told = usage.get("prompt_tokens_details")
    details = told if isinstance(told, dict) else {}
    cached, written = count_of(details.get("cached_tokens")), count_of(details.get("cache_write_tokens"))
    total = count_of(usage.get("total_tokens"))
    return Usage(
        reported=TokenUsage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion if total is None else total,
        ),
        input_tokens=max(0, prompt - (cached or 0) - (written or 0)),
        output_tokens=completion,
        cache_read_tokens=cached or 0,
        cache_write_5m_tokens=written or 0,
        reports_cache=cached is not None or written is not None,
    )
