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


class MetadataHint(StrEnum):
    """A key of `request_metadata` that a comparison can do without. Essay ids and the batch always travel."""

    CJ_BATCH_ID = "cj_batch_id"
    CJ_SOURCE = "cj_source"
    CJ_REQUEST_TYPE = "cj_request_type"
    LLM_BATCHING_MODE = "cj_llm_batching_mode"
    BUNDLE_SIZE = "preferred_bundle_size"
    ITERATION = "comparison_iteration"
    """`retry_iteration` on a retry."""


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
    metadata_hints: tuple[MetadataHint, ...] | None = None
    """Which hints travel with a comparison; None for those that production sends under the settings above."""
    enable_failed_comparison_retry: bool = True
    failed_comparison_retry_threshold: Annotated[int, Field(ge=1)] = 20
    """Failures that are worth a retry wave of their own; fewer wait until nothing else is left to ask."""
    max_retry_attempts: Annotated[int, Field(ge=0)] = 3
    retry_batch_size: Annotated[int, Field(ge=1)] = 50
    bt_alpha: Annotated[float, Field(gt=0.0)] = 0.01

    def sent_hints(self) -> tuple[MetadataHint, ...]:
        """Return the hints that travel with a comparison."""
        if self.metadata_hints is not None:
            return self.metadata_hints
        sent = [MetadataHint.CJ_BATCH_ID, MetadataHint.CJ_SOURCE, MetadataHint.CJ_REQUEST_TYPE]
        if self.enable_llm_batching_metadata_hints:
            sent += [MetadataHint.LLM_BATCHING_MODE, MetadataHint.BUNDLE_SIZE]
            # Production's rule looks at the settings and not at the mode that a batch was given.
            several = self.max_iterations > 1 and self.min_comparisons_for_stability_check > 0
            if several and self.llm_batching_mode is not LLMBatchingMode.PER_REQUEST:
                sent.append(MetadataHint.ITERATION)
        return tuple(sent)
