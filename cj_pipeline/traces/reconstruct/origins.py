"""This module says of every field of a reconstructed trace whether it is published, fitted or drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cj_pipeline.contracts.enums import LLMBatchingMode, Provider
from cj_pipeline.traces.provenance import FieldOrigin, FieldProvenance, Provenance, TraceOrigin
from cj_pipeline.traces.reconstruct.outcomes import published_parts

if TYPE_CHECKING:
    from cj_pipeline.traces.reconstruct.published import Facts, Published
    from cj_pipeline.traces.scenario import Scenario

# Raised when the same published.yaml would give other callbacks than before. Not the project's version: a release
# that changes nothing here must not change a single byte of a committed trace.
GENERATED_BY = "cj-pipeline reconstruct, method 1 (since 0.1.0)"

STATEMENT = (
    "This is a reconstruction, not a recording. The callbacks of this run were never published; some of their "
    "aggregates were, and published.yaml lists them with their sources. Every callback here was computed from those "
    "figures and a seed, so that each published figure comes out again. Whatever is not published is invented: single "
    "verdicts, sentences, times and identifiers say nothing about the run, its judge or its essays, and must not be "
    "cited. "
    "A field marked 'fitted' agrees with published aggregates as a whole, not value by value."
)

PUBLISHED, FITTED, DRAWN = FieldOrigin.PUBLISHED, FieldOrigin.FITTED, FieldOrigin.DRAWN


def provenance(scenario: Scenario, facts: Facts, seed: int) -> Provenance:
    """Return the provenance of a trace reconstructed from these facts with this seed."""
    published = facts.published
    fields = {**_envelope(), **_verdict(facts), **_figures(published), **_identity(scenario, published)}
    if published.counts.failed:
        fields |= _failures(published)
    if any(one.winner == "error" for one in facts.outcomes) and scenario.engine.enable_llm_batching_metadata_hints:
        fields["data.request_metadata.retry_iteration"] = (DRAWN, "as comparison_iteration, of what is asked again")
    return Provenance(
        scenario_id=scenario.scenario_id,
        origin=TraceOrigin.RECONSTRUCTED,
        statement=" ".join((STATEMENT, *published.caveats, f"Assumed: {published.assumed.why}")),
        sources=published.sources,
        generated_by=GENERATED_BY,
        seed=seed,
        fields={name: FieldProvenance(origin=origin, note=note) for name, (origin, note) in sorted(fields.items())},
    )


def _envelope() -> dict[str, tuple[FieldOrigin, str]]:
    wire = "the same on every callback of the production service"
    return {
        "event_id": (DRAWN, "a UUID made from the seed"),
        "event_type": (PUBLISHED, wire),
        "event_timestamp": (DRAWN, "equal to data.completed_at"),
        "source_service": (PUBLISHED, wire),
        "schema_version": (PUBLISHED, wire),
        "correlation_id": (DRAWN, "a UUID made from the seed, equal to data.correlation_id"),
        "data_schema_uri": (PUBLISHED, wire),
        "metadata": (PUBLISHED, wire),
        "data.trace_id": (PUBLISHED, wire),
    }


def _verdict(facts: Facts) -> dict[str, tuple[FieldOrigin, str]]:
    published = facts.published
    split = published.winners
    sides = "balanced over items; " + (
        "the A/B split is assumed even"
        if split is None
        else f"the split of {split.essay_a} A to {split.essay_b} B is published"
    )
    confidence = "plausible for the judge; rises with the assumed ability gap where there is one"
    if facts.outcomes:
        parts, total = published_parts(facts.outcomes), len(facts.outcomes)

        def known(part: str) -> str:
            return f"{parts[part]} of {total} are published; the others are assumed, as the statement says"

        winner = (FITTED if parts["winner"] else DRAWN, f"{known('winner')}, and fit the published totals")
        pair = (
            FITTED if parts["pair"] or parts["sides"] else DRAWN,
            f"pairs: {known('pair')}; sides: {known('sides')}",
        )
        if parts["confidence"]:
            confidence = f"{parts['confidence']} of {total} are published; the others are drawn: {confidence}"
    elif published.same_pair is not None:
        winner = (PUBLISHED, sides.partition("; ")[2])
        pair = (PUBLISHED, "the one ordered pair of every event")
    elif published.ladder is not None:
        unknown = [" and ".join(group) for group in published.ladder if len(group) > 1]
        open_order = f", except that the order of {', '.join(unknown)} is drawn" if unknown else ""
        winner = (
            FITTED,
            f"which essay wins follows from the published ladder{open_order}; on which side it stood is drawn",
        )
        pair = (FITTED, f"each pair once, as published; order and sides are drawn, sides {sides}")
    else:
        winner = (FITTED, f"no single outcome is published: drawn from abilities spaced evenly by known grade; {sides}")
        pair = (FITTED, f"each pair once, as published; order and sides are drawn, sides {sides}")
    return {
        "data.winner": winner,
        "data.error_detail": (PUBLISHED, "no event of the run failed"),
        "data.confidence": (FITTED if "are published" in confidence else DRAWN, confidence),
        "data.justification": (DRAWN, "stock sentences of this project; they describe no essay"),
        "data.request_metadata.essay_a_id": pair,
        "data.request_metadata.essay_b_id": pair,
    }


def _failures(published: Published) -> dict[str, tuple[FieldOrigin, str]]:
    """Return the fields of a failed call."""
    count = f"{published.counts.failed} of {published.counts.events} failed, as published"
    assumed = (DRAWN, f"{count}; how, and which, is assumed")
    error = published.assumed.error
    details = ("provider", *(error.details if error else ()))
    wire = (PUBLISHED, "as production's service writes it")
    return {
        **{f"data.error_detail.{name}": assumed for name in ("error_code", "message")},
        **{f"data.error_detail.details.{name}": assumed for name in details},
        **{
            f"data.error_detail.{name}": wire
            for name in ("correlation_id", "timestamp", "service", "operation", "stack_trace", "trace_id", "span_id")
        },
        "data.error_detail": assumed,
    }


def _figures(published: Published) -> dict[str, tuple[FieldOrigin, str]]:
    def behind(kind: str, assumption: str) -> tuple[FieldOrigin, str]:
        names = sorted(name.rpartition(".")[2] for name in published.figures if name.rpartition(".")[0] == kind)
        if not names:
            return DRAWN, assumption
        return FITTED, f"{', '.join(names)} as published, to the unit given there; else: {assumption}"

    total = behind("token_usage.total_tokens", "prompt and completion added up")
    return {
        "data.response_time_ms": behind(
            "response_time_ms", "a bounded, slightly skewed shape; longer answers tend to be slower"
        ),
        "data.token_usage.prompt_tokens": behind(
            "token_usage.prompt_tokens", "prompt's base and both essays' lengths, all assumed, added up"
        ),
        "data.token_usage.completion_tokens": behind(
            "token_usage.completion_tokens", "a bounded, slightly skewed shape"
        ),
        "data.token_usage.total_tokens": total,
        "data.cost_estimate": (total[0], "production's flat rate per 1,000 tokens applied to total_tokens"),
        "data.requested_at": (DRAWN, "one worker, a wave at a time, from the scenario's batch.started_at on"),
        "data.completed_at": (DRAWN, "when the callback left: after the last call of its bundle"),
    }


def _identity(scenario: Scenario, published: Published) -> dict[str, tuple[FieldOrigin, str]]:
    def stated(value: object, what: str) -> tuple[FieldOrigin, str]:
        return (PUBLISHED, f"{what} as published") if value is not None else (DRAWN, f"{what} not published; assumed")

    metadata = "data.request_metadata."
    provider = stated(published.run.provider, "provider")
    model = stated(published.run.model, "model")
    wired = (DRAWN, "as production wires it under the scenario's settings; the run's own settings were not published")
    fields = {
        "data.request_id": (DRAWN, "a UUID made from the seed"),
        "data.correlation_id": (DRAWN, "a UUID made from the seed"),
        "data.provider": provider,
        "data.model": model,
        f"{metadata}bos_batch_id": stated(published.run.bos_batch_id, "batch id"),
        f"{metadata}cj_batch_id": stated(published.run.cj_batch_id, "batch id"),
        f"{metadata}cj_source": wired,
        f"{metadata}cj_request_type": (
            DRAWN,
            "cj_comparison throughout; production labelled all but the first wave cj_retry, though nothing was retried",
        ),
        f"{metadata}resolved_provider": provider,
        f"{metadata}queue_processing_mode": wired,
        f"{metadata}prompt_sha256": (DRAWN, "64 hex digits made from the pair; the prompts were not published"),
    }
    if scenario.engine.enable_llm_batching_metadata_hints:
        fields[f"{metadata}cj_llm_batching_mode"] = wired
        fields[f"{metadata}preferred_bundle_size"] = (DRAWN, "the size of the reconstructed wave")
        if scenario.engine.llm_batching_mode is not LLMBatchingMode.PER_REQUEST:
            fields[f"{metadata}comparison_iteration"] = (DRAWN, "the number of the reconstructed wave")
    if scenario.provider.model is not None:
        fields[f"{metadata}resolved_model"] = model
    requested = (PUBLISHED, "as requested in the run's published settings; see the statement on whether it was applied")
    if scenario.provider.reasoning_effort is not None:
        fields[f"{metadata}reasoning_effort"] = requested
    if scenario.provider.output_verbosity is not None:
        fields[f"{metadata}output_verbosity"] = requested
    if scenario.provider.name is Provider.MOCK:
        cache = (PUBLISHED, "production's mock reports a cache that never hits")
        for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
            fields[f"{metadata}usage.{name}"] = (FITTED, f"equal to data.token_usage.{name}")
        for prefix in (metadata, f"{metadata}usage."):
            fields[f"{prefix}cache_read_input_tokens"] = cache
            fields[f"{prefix}cache_creation_input_tokens"] = (FITTED, "equal to data.token_usage.prompt_tokens")
    return fields
