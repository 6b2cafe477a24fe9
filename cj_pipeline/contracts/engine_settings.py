"""The CJ engine's settings: production's names and defaults, shared by scenario files and the engine.

Here: values and their ranges. Not here: what they do (cj/), environment variables (cj/'s service).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from cj_pipeline.contracts.enums import LLMBatchingMode, Provider
from cj_pipeline.contracts.model import FileModel


class Pairing(StrEnum):
    """Where the next wave's pairs come from."""

    RECORDED = "recorded"
    """The trace's own pairs, in its own order and orientation."""
    BALANCED = "balanced"
    """A maximum-weight matching that evens out comparison counts and prefers neighbours on the scale."""


class EngineSettings(FileModel):
    """Production's settings, lower-cased, without their prefix `CJ_ASSESSMENT_SERVICE_`."""

    pairing: Pairing = Pairing.BALANCED
    max_pairwise_comparisons: Annotated[int, Field(gt=0)] = 120
    min_comparisons_for_stability_check: Annotated[int, Field(ge=0)] = 12
    score_stability_threshold: Annotated[float, Field(ge=0.0)] = 0.025
    min_success_rate_threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.8
    min_resampling_net_size: Annotated[int, Field(ge=0)] = 3
    max_resampling_passes_for_small_net: Annotated[int, Field(ge=0)] = 4
    max_resampling_passes_for_regular_batch: Annotated[int, Field(ge=0)] = 1
    matching_weight_comparison_count: Annotated[float, Field(ge=0.0)] = 1.0
    matching_weight_bt_proximity: Annotated[float, Field(ge=0.0)] = 0.5
    pair_generation_seed: int = 42
    llm_batching_mode: LLMBatchingMode = LLMBatchingMode.SERIAL_BUNDLE
    llm_batch_api_allowed_providers: tuple[Provider, ...] = (Provider.OPENAI, Provider.ANTHROPIC)
    """Providers that `provider_batch_api` may be asked of; empty for all."""
    enable_llm_batching_metadata_hints: bool = True
    max_iterations: Annotated[int, Field(ge=1)] = 10
    """No limit, for all its name: with 1 the hint `comparison_iteration` is left out, and that is all."""
    enable_failed_comparison_retry: bool = True
    failed_comparison_retry_threshold: Annotated[int, Field(ge=1)] = 20
    """Failures that are worth a retry wave of their own; fewer wait until nothing else is left to ask."""
    max_retry_attempts: Annotated[int, Field(ge=0)] = 3
    retry_batch_size: Annotated[int, Field(ge=1)] = 50
    bt_alpha: Annotated[float, Field(gt=0.0)] = 0.01
