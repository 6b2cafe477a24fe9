"""This module reads a reply of Anthropic's Messages API: the verdict is the input of a tool, or words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import field_validator

from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.reasons import Reason
from cj_pipeline.services.lps.providers.apis.api import ErrorInReply, Reply, Truncated, no_verdict, with_usage
from cj_pipeline.services.lps.providers.apis.verdict import BadReply, Verdict, parse_verdict_text, parse_verdicts
from cj_pipeline.services.lps.providers.cost import Usage
from cj_pipeline.services.lps.providers.replies.errors import error_in
from cj_pipeline.services.lps.providers.replies.fields import Lenient, ReplyPart, count_of, read_document, text_of

_CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded"})


class _Message(ReplyPart):
    content: Any = ()
    stop_reason: Lenient[str] = None
    usage: Any = None

    @field_validator("content")
    @classmethod
    def _has_blocks(cls, content: Any) -> Any:
        if content is not None and not isinstance(content, str | list | tuple):
            raise ValueError("neither blocks nor a text")
        return content


def read_message(body: bytes, tool_name: str) -> Reply:
    """Return the verdict of a reply; several calls of the tool must agree. Raises as `Api.read` does."""
    document = read_document(body)
    if error_in(document) is not None:
        raise ErrorInReply(_usage(document.get("usage") if isinstance(document, dict) else None))
    message = _Message.model_validate(document)
    return with_usage(_usage(message.usage), lambda: _verdict(message, tool_name))


def _verdict(message: _Message, tool_name: str) -> Verdict:
    if message.stop_reason in _CUT_OFF:
        raise Truncated(message.stop_reason or "")
    if message.stop_reason == "refusal":
        raise no_verdict("refusal")
    content = message.content or ()
    inputs = _inputs(content, tool_name) if not isinstance(content, str) else []
    text = text_of(content)
    if inputs:
        return _agreed(parse_verdicts(inputs), text)
    # Words in the place of a tool are a verdict only where there is JSON in them.
    if "{" not in text:
        raise no_verdict(message.stop_reason)
    return parse_verdict_text(text)


def _agreed(verdict: Verdict, text: str) -> Verdict:
    """Return a tool's verdict, unless there is another one in the words beside it."""
    try:
        said = parse_verdict_text(text).winner if "{" in text else verdict.winner
    except BadReply:
        return verdict
    if said is not verdict.winner:
        raise BadReply(Reason.CONTRADICTION, "The answer gives two verdicts that disagree.", field="winner")
    return verdict


def _inputs(content: Sequence[object], tool_name: str) -> list[object]:
    blocks = [block for block in content if isinstance(block, dict)]
    used = [block for block in blocks if block.get("type") == "tool_use"]
    # There is one tool to use; a gateway may have given it another name.
    return [block.get("input") for block in [one for one in used if one.get("name") == tool_name] or used]


def _usage(usage: object) -> Usage | None:
    """Return the tokens; None where one of the two counts is missing or none."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = count_of(usage.get("input_tokens")), count_of(usage.get("output_tokens"))
    if prompt is None or completion is None:
        return None
    read, created = count_of(usage.get("cache_read_input_tokens")), count_of(usage.get("cache_creation_input_tokens"))
    told = usage.get("cache_creation")
    one_hour = count_of(told.get("ephemeral_1h_input_tokens")) if isinstance(told, dict) else None
    return Usage(
        # As the API counts: its input tokens leave out what the cache read or wrote.
        reported=TokenUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion),
        input_tokens=prompt,
        output_tokens=completion,
        cache_read_tokens=read or 0,
        cache_write_5m_tokens=max(0, (created or 0) - (one_hour or 0)),
        cache_write_1h_tokens=one_hour or 0,
        reports_cache=read is not None or created is not None,
    )
