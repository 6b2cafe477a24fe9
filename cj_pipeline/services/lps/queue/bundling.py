"""This module decides which waiting requests are answered together, and how many.

A bundle is its lead and the compatible requests right behind it. The first incompatible one ends the bundle and leads
the next: order is never changed for a fuller bundle.
"""

from __future__ import annotations

import json

from cj_pipeline.contracts.comparison import MAX_BUNDLE
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest


def bundle_hint(lead: QueuedRequest) -> int | None:
    """How many requests the lead says belong together: an int of 1 to 64; None for anything else."""
    hint = lead.request.metadata.get("preferred_bundle_size")
    # `type is`: JSON's true is a bool, which Python counts as the int 1.
    return hint if type(hint) is int and 1 <= hint <= MAX_BUNDLE else None


def bundle_limit(lead: QueuedRequest, cap: int) -> int:
    """How many requests the lead's bundle may have: as it says, never more than the cap."""
    return min(bundle_hint(lead) or cap, cap)


def bundle_key(request: QueuedRequest) -> str:
    """Two requests may share a bundle exactly when their keys are equal.

    Same provider, same overrides, and the same `cj_llm_batching_mode` (or none in both). Providers are compared as
    named: where the mock stands in for several, it bundles as they would.
    """
    overrides = request.overrides
    return json.dumps(
        (
            request.provider,
            overrides.model_override,
            overrides.temperature_override,
            overrides.system_prompt_override,
            overrides.max_tokens_override,
            overrides.reasoning_effort,
            overrides.output_verbosity,
            request.request.metadata.get("cj_llm_batching_mode"),
        ),
        sort_keys=True,
    )
