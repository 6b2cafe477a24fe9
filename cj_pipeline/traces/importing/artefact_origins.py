"""This module says what of a callback an ENG5 artefact holds, field by field, and which checks that leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cj_pipeline.traces.importing.artefact_file import ArtefactComparison
from cj_pipeline.traces.importing.envelope import ENVELOPE_FIELDS
from cj_pipeline.traces.importing.source import (
    CONFIDENCE_CHECKS,
    ERROR_CODE_CHECKS,
    LATENCY_CHECKS,
    NO_CONFIDENCE,
    NO_ERROR_CODE,
    SHAPE_CHECKS,
    SIDE_CHECKS,
    TOKEN_CHECKS,
    absent,
    derived,
    recorded,
)
from cj_pipeline.traces.provenance import FieldProvenance

# Stands where the artefact names no batch; the same for all, so that its comparisons are one batch's.
BATCH_UNKNOWN = "not-in-the-artefact"


@dataclass(frozen=True, slots=True)
class Held:
    """Which of the optional values every comparison that needs them has."""

    sides: bool
    confidence: bool
    justification: bool
    tokens: bool
    cost: bool
    error_code: bool
    request_id: bool
    prompt_hash: bool


def held_by(answered: Sequence[ArtefactComparison]) -> Held:
    """Return what the records with an outcome have."""
    judged = [comparison for comparison in answered if not comparison.failed]
    return Held(
        sides=all(comparison.essay_a_id and comparison.essay_b_id for comparison in answered),
        confidence=all(comparison.confidence is not None for comparison in judged),
        justification=all(comparison.justification is not None for comparison in judged),
        tokens=all(None not in (c.tokens_prompt, c.tokens_completion) for c in judged),
        cost=all(comparison.cost_usd is not None for comparison in judged),
        error_code=all(comparison.error_code is not None for comparison in answered if comparison.failed),
        request_id=all(comparison.request_id for comparison in answered),
        prompt_hash=all(comparison.prompt_hash for comparison in answered),
    )


def fields(held: Held) -> dict[str, FieldProvenance]:
    """Return origins by dotted key of the callback."""

    def kept(there: bool, otherwise: FieldProvenance, note: str = "as in the artefact") -> FieldProvenance:
        return recorded(note) if there else otherwise

    id_made = derived("the artefact's own; a UUID made from the file's digest and the sequence where it has none")
    sides = kept(held.sides, absent("which essay was shown first is not on record; they stand in the order of ids"))
    return {
        **ENVELOPE_FIELDS,
        "data.request_id": kept(held.request_id, id_made),
        "data.correlation_id": derived(
            "the comparison's own; a UUID made from the file's digest and the sequence where it has none or shares it"
        ),
        "data.winner": kept(held.sides, derived("which essay won is on record, on which side it stood is not")),
        "data.justification": kept(held.justification, absent("an empty text where there is none")),
        "data.confidence": kept(held.confidence, absent(f"{NO_CONFIDENCE} where there is none")),
        "data.error_detail.error_code": kept(held.error_code, absent(f"{NO_ERROR_CODE} where there is none")),
        "data.error_detail": derived("from failure_reason; service and operation are those of every such error"),
        "data.provider": recorded("as in the artefact, in lower case"),
        "data.model": recorded("as in the artefact"),
        "data.response_time_ms": absent("0; the artefact's two times span the queue as well, so nothing follows"),
        "data.token_usage.prompt_tokens": kept(held.tokens, absent("0 where there is none")),
        "data.token_usage.completion_tokens": kept(held.tokens, absent("0 where there is none")),
        "data.token_usage.total_tokens": derived("prompt and completion added up"),
        "data.cost_estimate": kept(held.cost, absent("0 where there is none")),
        "data.trace_id": absent("null"),
        "data.requested_at": recorded("started_at"),
        "data.completed_at": recorded("completed_at"),
        "data.request_metadata.essay_a_id": sides,
        "data.request_metadata.essay_b_id": sides,
        "data.request_metadata.bos_batch_id": recorded(f"metadata.batch_uuid; {BATCH_UNKNOWN} where there is none"),
        "data.request_metadata.reasoning_effort": recorded("metadata.llm_config_overrides; left out where it has none"),
        "data.request_metadata.output_verbosity": recorded("metadata.llm_config_overrides; left out where it has none"),
        "data.request_metadata.prompt_sha256": kept(held.prompt_hash, absent("left out where there is none")),
        "data.request_metadata.cj_batch_id": absent("left out"),
        "data.request_metadata.comparison_iteration": absent(
            "left out; a wave is taken to be consecutive comparisons in which no essay stands twice"
        ),
        "data.request_metadata.queue_processing_mode": absent("left out"),
        "data.request_metadata.resolved_provider": absent("left out"),
        "data.request_metadata.resolved_model": absent("left out"),
    }


def checks_off(held: Held) -> dict[str, str]:
    """Return the checks that would look at what is not there."""
    off = dict.fromkeys(LATENCY_CHECKS, "An ENG5 artefact holds no response times; nothing was recorded to compare.")
    off |= dict.fromkeys(SHAPE_CHECKS, "The callbacks were made from an artefact that lacks some of their keys.")
    if not held.tokens:
        off |= dict.fromkeys(TOKEN_CHECKS, "Some comparisons of the artefact have no token counts.")
    if not held.confidence:
        off |= dict.fromkeys(CONFIDENCE_CHECKS, "Some comparisons of the artefact have no confidence.")
    if not held.sides:
        off |= dict.fromkeys(SIDE_CHECKS, "The artefact does not say which essay was shown first.")
    if not held.error_code:
        off |= dict.fromkeys(ERROR_CODE_CHECKS, "Some failed comparisons of the artefact have no error code.")
    return off
