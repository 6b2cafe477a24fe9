"""This module defines the request for a comparison that the CJ engine posts, and the answer that it gets at once.

The verdict comes later and is defined in callback.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field

from cj_pipeline.contracts.enums import OutputVerbosity, Provider, QueueStatus, ReasoningEffort
from cj_pipeline.contracts.model import WireModel

# Requests that are answered together, at most: production's cap. An LPS ignores a hint beyond it.
MAX_BUNDLE = 64


def _lower(name: object) -> object:
    """Return a provider's name in lower case: peers send `OPENAI` as well."""
    return name.strip().lower() if isinstance(name, str) else name


class LLMConfigOverrides(WireModel):
    """Who is to judge, and how. `provider_override` is mandatory in practice: the LPS refuses a request without it."""

    provider_override: Annotated[Provider | None, BeforeValidator(_lower)] = None
    model_override: str | None = None
    temperature_override: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    system_prompt_override: str | None = None
    max_tokens_override: Annotated[int, Field(gt=0)] | None = None
    reasoning_effort: ReasoningEffort | None = None
    output_verbosity: OutputVerbosity | None = None


class PromptBlock(WireModel):
    """One part of a prompt; blocks joined by a blank line are the whole of it."""

    target: str = "user_content"
    """`system`, or anything else for a part of the user's turn."""
    content: str
    cacheable: bool = False
    ttl: str | int | float | None = None
    """How long a provider is to cache it: `5m`, `1h` or seconds, in any spelling that the LPS's prompts.py knows."""


class ComparisonRequest(WireModel):
    """Body of `POST /api/v1/comparison`. `metadata` is opaque to the LPS and echoed in the callback."""

    user_prompt: str
    callback_topic: Annotated[str, Field(min_length=1)]
    prompt_blocks: tuple[PromptBlock, ...] | None = None
    correlation_id: UUID | None = None
    user_id: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    llm_config_overrides: LLMConfigOverrides | None = None


class QueuedResponse(WireModel):
    """Body of the 202: the request is accepted and its verdict will come on the callback topic."""

    queue_id: UUID
    status: Literal[QueueStatus.QUEUED] = QueueStatus.QUEUED
    message: str
    estimated_wait_minutes: float | None = None
