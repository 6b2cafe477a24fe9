"""This module makes the LPS request of a comparison: metadata, prompt blocks and overrides.

The judge must not see who is judged: blocks carry essay texts only, never an id or an anchor's label. The ids travel
in the metadata, which the LPS echoes and the provider never gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cj_pipeline.contracts.callback import MAX_JUSTIFICATION_WORDS
from cj_pipeline.contracts.comparison import MAX_BUNDLE, ComparisonRequest, LLMConfigOverrides, PromptBlock
from cj_pipeline.contracts.engine_settings import MetadataHint
from cj_pipeline.contracts.enums import CJRequestType
from cj_pipeline.engine.state import Batch, Comparison

# Production's order: the overrides stand between the two.
_ASKED = (MetadataHint.CJ_BATCH_ID, MetadataHint.CJ_SOURCE, MetadataHint.CJ_REQUEST_TYPE)
_BATCHING = (MetadataHint.LLM_BATCHING_MODE, MetadataHint.BUNDLE_SIZE, MetadataHint.ITERATION)

INSTRUCTIONS = (
    "Decide which of the two essays is the better answer to its assignment. "
    f"Reply with the winner ('Essay A' or 'Essay B'), a justification of at most {MAX_JUSTIFICATION_WORDS} words, "
    "and your confidence from 1 to 5."
)


def comparison_request(
    comparison: Comparison,
    *,
    batch: Batch,
    wave_size: int,
    texts: Mapping[str, str],
    overrides: LLMConfigOverrides,
    callback_topic: str,
) -> ComparisonRequest:
    """Return the request for one comparison of a wave. texts: essay text by id."""
    blocks = (
        PromptBlock(content=f"Essay A:\n{texts[comparison.essay_a]}"),
        PromptBlock(content=f"Essay B:\n{texts[comparison.essay_b]}"),
        PromptBlock(content=INSTRUCTIONS, cacheable=True, ttl="5m"),
    )
    return ComparisonRequest(
        user_prompt="\n\n".join(block.content for block in blocks),
        prompt_blocks=blocks,
        callback_topic=callback_topic,
        correlation_id=comparison.correlation_id,
        metadata=_metadata(comparison, batch, wave_size, overrides),
        llm_config_overrides=overrides,
    )


def _metadata(comparison: Comparison, batch: Batch, wave_size: int, overrides: LLMConfigOverrides) -> dict[str, Any]:
    """Return production's keys; those that do not apply are absent, never null."""
    retry = comparison.retry_count > 0
    hints: dict[MetadataHint, tuple[str, Any]] = {
        MetadataHint.CJ_BATCH_ID: ("cj_batch_id", str(batch.cj_batch_id)),
        MetadataHint.CJ_SOURCE: ("cj_source", "els"),
        # Production says `cj_retry` in every wave but the first, so that retries cannot be counted.
        MetadataHint.CJ_REQUEST_TYPE: (
            "cj_request_type",
            (CJRequestType.RETRY if retry else CJRequestType.COMPARISON).value,
        ),
        MetadataHint.LLM_BATCHING_MODE: ("cj_llm_batching_mode", batch.batching_mode.value),
        MetadataHint.BUNDLE_SIZE: ("preferred_bundle_size", min(wave_size, MAX_BUNDLE)),
        # Retries have no `comparison_iteration` in production. They get a key of their own here, for without a number
        # two retry waves in a row could not be told apart when the batch is replayed.
        MetadataHint.ITERATION: ("retry_iteration" if retry else "comparison_iteration", comparison.iteration),
    }
    sent = batch.settings.sent_hints()
    metadata: dict[str, Any] = {
        "essay_a_id": comparison.essay_a,
        "essay_b_id": comparison.essay_b,
        "bos_batch_id": batch.bos_batch_id,
        **dict(hints[hint] for hint in _ASKED if hint in sent),
    }
    if overrides.reasoning_effort is not None:
        metadata["reasoning_effort"] = overrides.reasoning_effort.value
    if overrides.output_verbosity is not None:
        metadata["output_verbosity"] = overrides.output_verbosity.value
    return metadata | dict(hints[hint] for hint in _BATCHING if hint in sent)
