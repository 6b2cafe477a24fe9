"""This module lists the panels of the dashboard: each has a question, and the queries that answer it."""

from __future__ import annotations

from cj_pipeline.reports.observability.panel import Panel, Query, Row, mean, new, new_by, quantile

_WAIT = "llm_provider_queue_wait_time_seconds"
_WORK = "llm_provider_queue_processing_time_seconds"
_ITEMS = "llm_provider_serial_bundle_items_per_call"
_FAILURES = "llm_provider_failure_reasons_total"
_SHARE_FAILED = (
    f"sum by (provider) {new(_FAILURES)} / on (provider) sum by (provider) {new(f'{_WORK}_count')}"
)  # fmt: skip

ROWS: tuple[Row, ...] = (
    Row(
        "Is it well?",
        (
            Panel(
                "Services that answer",
                "1 for each service whose /metrics answers, 0 for one that is down.",
                (Query('up{job=~"lps|cj"}', "{{job}} {{instance}}"),),
                kind="stat",
                unit="bool_on_off",
                width=6,
            ),
            Panel(
                "Batches by state",
                "Batches in the database of the CJ service, all replicas together.",
                (Query("max by (state) (cj_batch_state)", "{{state}}"),),
                kind="stat",
                width=6,
            ),
            Panel(
                "Comparisons by result",
                "Callbacks that the bus took within the window: success, failure or expired.",
                (Query(new_by("result", "llm_provider_comparison_callbacks_total"), "{{result}}"),),
                kind="stat",
                width=6,
            ),
            Panel(
                "Spent",
                "US dollars within the window. Answers of unknown price add nothing, and the mock is free.",
                (Query(new_by("provider", "llm_provider_cost_dollars_total"), "{{provider}}"),),
                kind="stat",
                unit="currencyUSD",
                width=6,
            ),
        ),
    ),
    Row(
        "LPS: queue",
        (
            Panel(
                "Queue depth",
                "Requests that wait (queued), and those in work or with a callback under way too (total).",
                (Query("sum by (queue_type) (llm_provider_queue_depth)", "{{queue_type}}"),),
            ),
            Panel(
                "Wait for a turn",
                "How long requests that ended within the window had waited, by strategy: half and 95 % of them.",
                (
                    Query(quantile(0.5, _WAIT, "queue_processing_mode"), "{{queue_processing_mode}} 50 %"),
                    Query(quantile(0.95, _WAIT, "queue_processing_mode"), "{{queue_processing_mode}} 95 %"),
                ),
                unit="s",
            ),
            Panel(
                "Requests accepted and refused",
                "POSTs within the window by provider: queued, or failed where they were refused.",
                (Query(new_by("provider, status", "llm_provider_requests_total"), "{{provider}} {{status}}"),),
            ),
            Panel(
                "Expired",
                "Requests within the window that ended unanswered: ttl, or processing_timeout.",
                (
                    Query(
                        new_by("provider, expiry_reason", "llm_provider_queue_expiry_total"),
                        "{{provider}} {{expiry_reason}}",
                    ),
                ),
                trouble=True,
            ),
            Panel(
                "Held",
                "Times within the window that a request was put back, since its provider is left alone.",
                (Query(new_by("provider", "llm_provider_queue_held_total"), "{{provider}}"),),
                trouble=True,
            ),
            Panel(
                "Bus trouble",
                "Callbacks that the bus did not take at once (they are tried again), and usage events that are lost.",
                (
                    Query("sum(increase(llm_provider_callback_publish_failures_total[$window]))", "not published yet"),
                    Query("sum(increase(llm_provider_usage_events_dropped_total[$window]))", "usage events lost"),
                ),
            ),
        ),
    ),
    Row(
        "LPS: providers",
        (
            Panel(
                "Time of an attempt",
                "Attempts within the window by provider: half and 95 % of them.",
                (
                    Query(quantile(0.5, _WORK, "provider"), "{{provider}} 50 %"),
                    Query(quantile(0.95, _WORK, "provider"), "{{provider}} 95 %"),
                ),
                unit="s",
            ),
            Panel(
                "Failed attempts by reason",
                "Attempts within the window without an answer. docs/lps.md explains each reason.",
                (
                    Query(
                        new_by("provider, error_code, reason", _FAILURES),
                        "{{provider}} {{error_code}} {{reason}}",
                    ),
                ),
                kind="bargauge",
                trouble=True,
            ),
            Panel(
                "Share of attempts that fail",
                "Failed attempts of all within the window, by provider.",
                (Query(_SHARE_FAILED, "{{provider}}"),),
                unit="percentunit",
                trouble=True,
            ),
            Panel(
                "Attempts made again",
                "Retries within the window by error code, and answers without a verdict that were asked for again.",
                (
                    Query(
                        new_by("provider, error_code", "llm_provider_queue_retries_total"),
                        "{{provider}} {{error_code}}",
                    ),
                    Query(
                        new_by("provider, reason", "llm_provider_verdict_retries_total"),
                        "asked again: {{provider}} {{reason}}",
                    ),
                ),
                trouble=True,
            ),
            Panel(
                "Providers that may be asked",
                "100 while a provider may be asked, 0 while it is left alone because it failed repeatedly.",
                (Query("min by (provider) (llm_provider_availability_percentage)", "{{provider}}"),),
                unit="percent",
            ),
            Panel(
                "Tokens",
                "Tokens within the window as the APIs count them, by provider and kind.",
                (
                    Query(
                        new_by("provider, token_type", "llm_provider_tokens_used_total"), "{{provider}} {{token_type}}"
                    ),
                ),
            ),
            Panel(
                "Bundles",
                "Bundles answered within the window, by provider and model. Only the expected judge may appear here.",
                (Query(new_by("provider, model", "llm_provider_serial_bundle_calls_total"), "{{provider}} {{model}}"),),
            ),
            Panel(
                "Requests in a bundle",
                "Mean within the window. Near 1: waves are small, or their requests do not fit together.",
                (Query(mean(_ITEMS), "mean"),),
                unit="none",
            ),
            Panel(
                "Prompt caches",
                "Answers within the window: read from a cache (hit), written to one (miss), or neither (bypass).",
                (Query(new_by("provider, result", "llm_provider_cache_scope_total"), "{{provider}} {{result}}"),),
            ),
        ),
    ),
    Row(
        "CJ service: batches",
        (
            Panel(
                "Comparisons asked and answered",
                "Comparisons in waves (asked) and their answers, within the window.",
                (
                    Query(f"sum{new('cj_llm_requests_total')}", "asked"),
                    Query(new_by("status", "cj_comparisons_total"), "{{status}}"),
                ),
            ),
            Panel(
                "Decisions of the engine",
                "Within the window. docs/architecture.md has the table of decisions.",
                (Query(new_by("decision", "cj_workflow_decisions_total"), "{{decision}}"),),
                kind="bargauge",
            ),
            Panel(
                "Largest movement of a score",
                "In logits, at the decisions within the window: half and 95 % of them; 1 is 1 or more. Small: stable.",
                (
                    Query(quantile(0.5, "cj_score_stability_changes"), "50 %"),
                    Query(quantile(0.95, "cj_score_stability_changes"), "95 %"),
                ),
                unit="none",
            ),
            Panel(
                "Failed comparisons",
                "Within the window: to be asked again, by error code; failed for good; made good by a retry.",
                (
                    Query(new_by("failure_reason", "cj_failed_comparisons_total"), "{{failure_reason}}"),
                    Query("sum(increase(cj_permanently_failed_comparisons_total[$window]))", "failed for good"),
                    Query("sum(increase(cj_successful_retries_total[$window]))", "made good"),
                ),
                trouble=True,
            ),
            Panel(
                "Doubtful scores",
                "Batches published within the window with uncertain scores, or with too few comparisons.",
                (
                    Query("sum(increase(cj_bt_se_inflated_batches_total[$window]))", "uncertain"),
                    Query("sum(increase(cj_bt_sparse_coverage_batches_total[$window]))", "too few comparisons"),
                ),
            ),
            Panel(
                "Taken in and ended",
                "Batches within the window: taken in, ended, and how many of either failed.",
                (Query(new_by("operation, status", "cj_assessment_operations_total"), "{{operation}} {{status}}"),),
            ),
        ),
    ),
    Row(
        "CJ service: messages",
        (
            Panel(
                "Age of callbacks",
                "From a callback's envelope to its being taken in, within the window: half and 95 % of them.",
                (
                    Query(quantile(0.5, "cj_callback_latency_seconds"), "50 %"),
                    Query(quantile(0.95, "cj_callback_latency_seconds"), "95 %"),
                ),
                unit="s",
            ),
            Panel(
                "Taking a callback in",
                "Time of one callback within the window: half and 95 % of them.",
                (
                    Query(quantile(0.5, "cj_callback_processing_duration_seconds"), "50 %"),
                    Query(quantile(0.95, "cj_callback_processing_duration_seconds"), "95 %"),
                ),
                unit="s",
            ),
            Panel(
                "Callbacks that count for nothing",
                "Within the window: orphans by sender, repetitions and late ones, messages in quarantine by reason.",
                (
                    Query(new_by("source_service", "cj_orphan_callbacks_total"), "orphan of {{source_service}}"),
                    Query(new_by("kind", "cj_uncounted_callbacks_total"), "{{kind}}"),
                    Query(new_by("reason", "cj_quarantined_messages_total"), "in quarantine: {{reason}}"),
                ),
                kind="bargauge",
                trouble=True,
            ),
            Panel(
                "Prompts and texts that could not be had",
                "Within the window: prompts and rubrics by reason, essays and anchors left out.",
                (
                    Query(new_by("reason", "huleedu_cj_prompt_fetch_failures_total"), "prompt: {{reason}}"),
                    Query(new_by("kind, reason", "cj_essay_fetch_failures_total"), "{{kind}}: {{reason}}"),
                ),
                kind="bargauge",
                trouble=True,
            ),
            Panel(
                "Posts to the LPS",
                "Comparisons posted within the window: queued, or error where no attempt was taken.",
                (Query(new_by("status", "cj_assessment_llm_api_calls_total"), "{{status}}"),),
            ),
            Panel(
                "Database",
                "Time of a transaction within the window, 95 % of them, by result.",
                (
                    Query(
                        quantile(0.95, "cj_assessment_service_database_transaction_duration_seconds", "result"),
                        "{{result}} 95 %",
                    ),
                ),
                unit="s",
            ),
        ),
    ),
)
