"""This module says what of a callback a CJ database holds, field by field, and which checks that leaves."""

from __future__ import annotations

from dataclasses import dataclass

from cj_pipeline.traces.importing.cj_waves import AskedWaves
from cj_pipeline.traces.importing.envelope import ENVELOPE_FIELDS
from cj_pipeline.traces.importing.source import (
    CONFIDENCE_CHECKS,
    ERROR_CODE_CHECKS,
    LATENCY_CHECKS,
    NO_CONFIDENCE,
    NO_ERROR_CODE,
    NO_MODEL,
    SHAPE_CHECKS,
    TOKEN_CHECKS,
    absent,
    derived,
    recorded,
)
from cj_pipeline.traces.provenance import FieldProvenance


@dataclass(frozen=True, slots=True)
class Held:
    """How many of a batch's rows hold what.

    answered: rows with an outcome, of which judged have a winner and failed an error. latency, tokens, model,
    confidence: of the judged; codes, never_sent: of the failed. order: the column that says in which order they came.
    """

    answered: int
    judged: int
    latency: int
    tokens: int
    model: int
    confidence: int
    codes: int
    failed: int
    never_sent: int
    order: str


def statement(held: Held) -> str:
    """Return the paragraph of provenance."""
    return (
        "Imported from the tables of a CJ service, which keeps the outcome of a comparison and not its callback. "
        f"The {held.answered} answers stand in the order of {held.order}. Not in such a database are the id of the "
        "request, the queue's mode, the provider's cache, the prompt's digest, the text of an error, and what was sent "
        "along; a field marked 'absent' fills a place that the wire demands, and the checks that would look at it are "
        "off."
    )


def fields(held: Held, course: AskedWaves) -> dict[str, FieldProvenance]:
    """Return origins by dotted key of the callback."""

    def of(there: int, among: int, column: str, otherwise: str) -> FieldProvenance:
        if there == among:
            return recorded(column)
        return absent(f"{column} in {there} of {among} rows; {otherwise} in the others")

    answer = "processing_metadata"
    metadata = "data.request_metadata."
    hints = (
        absent("left out: whether hints were sent is not on record")
        if course.engine is None
        else derived("from the engine's stored settings; absent where hints are off")
    )
    return {
        **ENVELOPE_FIELDS,
        "data.request_id": derived("a UUID made from the correlation id"),
        "data.correlation_id": recorded("request_correlation_id"),
        "data.winner": recorded("winner"),
        "data.justification": recorded("justification"),
        "data.confidence": of(held.confidence, held.judged, "confidence", str(NO_CONFIDENCE)),
        "data.error_detail": derived("from the columns of the error; null where there is a winner"),
        "data.error_detail.error_code": of(held.codes, held.failed, "error_code", NO_ERROR_CODE),
        "data.error_detail.message": absent("'not recorded'; no column holds the text"),
        "data.error_detail.details": recorded("error_details"),
        "data.error_detail.service": recorded("error_service; the LPS where there is none"),
        "data.error_detail.operation": derived("from error_details; process_comparison where it does not say"),
        "data.provider": recorded(f"{answer}.provider; of failures the provider that the batch asked for"),
        "data.model": of(held.model, held.judged, f"{answer}.model", NO_MODEL),
        "data.response_time_ms": of(held.latency, held.judged, f"{answer}.response_time_ms", "0"),
        "data.token_usage": of(held.tokens, held.judged, f"{answer}.token_usage", "0"),
        "data.cost_estimate": recorded(f"{answer}.cost_estimate; 0 where there is none"),
        "data.trace_id": absent("null"),
        "data.requested_at": recorded("submitted_at; created_at where it was never sent"),
        "data.completed_at": recorded("completed_at: when the answer was stored, a little after it came"),
        f"{metadata}essay_a_id": recorded("essay_a_els_id"),
        f"{metadata}essay_b_id": recorded("essay_b_els_id"),
        f"{metadata}bos_batch_id": recorded("cj_batch_uploads.bos_batch_id"),
        f"{metadata}cj_batch_id": recorded("cj_batch_uploads.id"),
        f"{metadata}cj_source": recorded("original_request; els where it does not say"),
        f"{metadata}cj_request_type": derived(
            "cj_retry where the stored state calls it one, cj_comparison otherwise; production labels later waves "
            "cj_retry though nothing is retried"
        ),
        f"{metadata}comparison_iteration": derived(f"from {course.source}"),
        f"{metadata}reasoning_effort": recorded("the batch's overrides"),
        f"{metadata}output_verbosity": recorded("the batch's overrides"),
        f"{metadata}cj_llm_batching_mode": hints,
        f"{metadata}preferred_bundle_size": hints,
        f"{metadata}queue_processing_mode": absent("left out"),
        f"{metadata}resolved_provider": absent("left out"),
        f"{metadata}resolved_model": absent("left out"),
        f"{metadata}prompt_sha256": absent("left out: the table has the CJ side's prompt, the digest is of the LPS's"),
        f"{metadata}usage": absent("left out"),
    }


def checks_off(held: Held) -> dict[str, str]:
    """Return the checks that would look at what is not there."""
    off = dict.fromkeys(SHAPE_CHECKS, "The callbacks were made from a database that does not keep all of their keys.")
    if held.latency < held.judged:
        off |= dict.fromkeys(LATENCY_CHECKS, _lacking(held.judged - held.latency, held.judged, "response time"))
    if held.tokens < held.judged:
        off |= dict.fromkeys(TOKEN_CHECKS, _lacking(held.judged - held.tokens, held.judged, "token usage"))
    if held.confidence < held.judged:
        off |= dict.fromkeys(CONFIDENCE_CHECKS, _lacking(held.judged - held.confidence, held.judged, "confidence"))
    if held.codes < held.failed:
        off |= dict.fromkeys(ERROR_CODE_CHECKS, _lacking(held.failed - held.codes, held.failed, "error code"))
    return off


def _lacking(number: int, among: int, what: str) -> str:
    return f"{number} of {among} rows of the database have no {what}."
