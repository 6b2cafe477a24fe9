"""This module reads a reply of Google's generateContent API."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.services.lps.providers.apis.api import ErrorInReply, Reply, Truncated, no_verdict, with_usage
from cj_pipeline.services.lps.providers.apis.verdict import Verdict, parse_verdict_text
from cj_pipeline.services.lps.providers.cost import Usage
from cj_pipeline.services.lps.providers.replies.errors import error_in
from cj_pipeline.services.lps.providers.replies.fields import Lenient, ReplyPart, count_of, read_document, text_of


class _Content(ReplyPart):
    parts: Lenient[list[Any]] = None


class _Candidate(ReplyPart):
    content: Lenient[_Content] = None
    finish_reason: Lenient[str] = Field(default=None, alias="finishReason")


class _PromptFeedback(ReplyPart):
    block_reason: Lenient[str] = Field(default=None, alias="blockReason")


class _GeneratedContent(ReplyPart):
    candidates: tuple[_Candidate, ...] | None = None
    prompt_feedback: Lenient[_PromptFeedback] = Field(default=None, alias="promptFeedback")
    usage_metadata: Any = Field(default=None, alias="usageMetadata")


def read_generated_content(body: bytes) -> Reply:
    """Return the verdict of a reply; several candidates must agree. Raises as `Api.read` does."""
    document = read_document(body)
    if error_in(document) is not None:
        raise ErrorInReply(_usage(document.get("usageMetadata") if isinstance(document, dict) else None))
    generated = _GeneratedContent.model_validate(document)
    return with_usage(_usage(generated.usage_metadata), lambda: _verdict(generated))


def _verdict(generated: _GeneratedContent) -> Verdict:
    candidates = generated.candidates or ()
    if not candidates:
        raise no_verdict(generated.prompt_feedback.block_reason if generated.prompt_feedback else None)
    ends = [candidate.finish_reason for candidate in candidates]
    if "MAX_TOKENS" in ends:
        raise Truncated("MAX_TOKENS")
    stopped = next((end for end in ends if end not in (None, "STOP")), None)
    texts = [text_of(candidate.content.parts or []) for candidate in candidates if candidate.content is not None]
    text = "\n".join(texts)
    if not text.strip() or stopped is not None:
        raise no_verdict(stopped or ends[0])
    return parse_verdict_text(text)


def _usage(usage: object) -> Usage | None:
    """Return the tokens; None where a count is none. A count of 0 is left out of the reply."""
    if not isinstance(usage, dict):
        return None
    prompt, candidates, thoughts = (
        count_of(usage.get(name, least))
        for name, least in (("promptTokenCount", None), ("candidatesTokenCount", 0), ("thoughtsTokenCount", 0))
    )
    if prompt is None or candidates is None or thoughts is None:
        return None
    output, cached = candidates + thoughts, count_of(usage.get("cachedContentTokenCount"))
    return Usage(
        reported=TokenUsage(prompt_tokens=prompt, completion_tokens=output, total_tokens=prompt + output),
        input_tokens=max(0, prompt - (cached or 0)),
        output_tokens=output,
        cache_read_tokens=cached or 0,
        reports_cache=cached is not None,
    )
