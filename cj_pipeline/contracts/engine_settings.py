"""This module holds the CJ engine's settings: production's names and defaults, for scenario files and the CJ service.

It does not say what they do: that is the engine's. The service reads them as `CJ_ASSESSMENT_SERVICE_` and the name.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

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


# Comparisons, essays and waves: more than any batch has.
MOST = 10_000_000


def _each_once(hints: tuple[MetadataHint, ...]) -> tuple[MetadataHint, ...]:
    if len(set(hints)) != len(hints):
        raise ValueError("a hint is there twice")
    return hints


class EngineSettings(FileModel):
    """Production's settings, lower-cased, without their prefix `CJ_ASSESSMENT_SERVICE_`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    pairing: Pairing = Pairing.BALANCED
    """balanced: planned by the engine; recorded: a trace's own pairs, for scenarios only."""
    max_pairwise_comparisons: Annotated[int, Field(gt=0, le=MOST)] = 120
    """Budget cap; a request can lower it."""
    min_comparisons_for_stability_check: Annotated[int, Field(ge=0, le=MOST + 1)] = 12
    """Successful comparisons before a batch may end for being stable."""
    score_stability_threshold: Annotated[float, Field(ge=0.0, le=100.0)] = 0.025
    """Largest movement of a score, logits, that counts as stable."""
    min_success_rate_threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.8
    """Below it a batch fails instead of being published."""
    min_resampling_net_size: Annotated[int, Field(ge=0, le=MOST)] = 3
    """A net of at most so many essays is small."""
    max_resampling_passes_for_small_net: Annotated[int, Field(ge=0, le=MOST)] = 4
    """Passes over the covered pairs of a small net."""
    max_resampling_passes_for_regular_batch: Annotated[int, Field(ge=0, le=MOST)] = 1
    """Passes over those of any other."""
    matching_weight_comparison_count: Annotated[float, Field(ge=0.0, le=1e6)] = 1.0
    """How much a matching evens out comparison counts."""
    matching_weight_bt_proximity: Annotated[float, Field(ge=0.0, le=1e6)] = 0.5
    """How much it prefers neighbours on the scale."""
    pair_generation_seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    """Set: the service gives a batch id the same pairs in every database. Unset: each request has pairs of its own."""
    llm_batching_mode: LLMBatchingMode = LLMBatchingMode.SERIAL_BUNDLE
    """per_request, serial_bundle or provider_batch_api."""
    llm_batch_api_allowed_providers: tuple[Provider, ...] = (Provider.OPENAI, Provider.ANTHROPIC)
    """Providers that provider_batch_api may be asked of; empty for all."""
    enable_llm_batching_metadata_hints: bool = False
    """Whether requests carry hints for the LPS's bundles."""
    max_iterations: Annotated[int, Field(ge=1, le=MOST)] = 10
    """No limit; with 1 the hint comparison_iteration is left out."""
    metadata_hints: Annotated[tuple[MetadataHint, ...], AfterValidator(_each_once)] | None = None
    """Which hints travel with a comparison; unset for those that production sends under the settings above."""
    enable_failed_comparison_retry: bool = True
    """Whether failed comparisons are asked again."""
    failed_comparison_retry_threshold: Annotated[int, Field(ge=1, le=MOST)] = 20
    """Failures that are worth a retry wave of their own; fewer wait until nothing else is left to ask."""
    max_retry_attempts: Annotated[int, Field(ge=0, le=1_000)] = 3
    """Times that a failed comparison is asked again."""
    retry_batch_size: Annotated[int, Field(ge=1, le=MOST)] = 50
    """Comparisons in a retry wave, at most."""
    bt_alpha: Annotated[float, Field(gt=0.0, le=1e3)] = 0.01
    """Strength of the estimator's prior: times the number of essays, in pseudo-comparisons an essay."""

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
