"""This module declares every dataset with its columns, and what each column means.

Units are in the names (`_ms`, `_s`) or in the descriptions; scores and standard errors are logits.
"""

from __future__ import annotations

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")


def _column(name: str, kind: pa.DataType, description: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


_RUN = _column("run_id", pa.string(), "the run that made the row; a Dagster run's id")
_SCENARIO = _column("scenario_id", pa.string(), "folder under traces/")
_SIDE = _column("side", pa.string(), "recorded or live")

SCHEMAS: dict[str, pa.Schema] = {
    "callbacks": pa.schema(
        [
            _RUN,
            _SCENARIO,
            _SIDE,
            _column(
                "batch", pa.int32(), "0 the batch that parity compares; 1.. its repeats, or more recordings (judges)"
            ),
            _column("sequence", pa.int32(), "order of arrival within the batch, from 0"),
            _column("request_id", pa.string(), "the LPS's queue id"),
            _column("correlation_id", pa.string(), "the comparison's id in the CJ engine"),
            _column("essay_a_id", pa.string(), "essay shown as A"),
            _column("essay_b_id", pa.string(), "essay shown as B"),
            _column("winner", pa.string(), "Essay A or Essay B; null for an error", nullable=True),
            _column("winning_essay_id", pa.string(), "id of the essay that won; null for an error", nullable=True),
            _column("confidence", pa.float64(), "the judge's own, 1 to 5", nullable=True),
            _column("error_code", pa.string(), "why there is no winner", nullable=True),
            _column("provider", pa.string(), "provider asked for"),
            _column("model", pa.string(), "model that answered"),
            _column("response_time_ms", pa.int64(), "provider call alone, without queueing"),
            _column("prompt_tokens", pa.int64(), "tokens read"),
            _column("completion_tokens", pa.int64(), "tokens written"),
            _column("total_tokens", pa.int64(), "both, as reported"),
            _column("cost_estimate", pa.float64(), "US dollars"),
            _column("requested_at", TIMESTAMP, "enqueued"),
            _column("completed_at", TIMESTAMP, "published"),
            _column("event", pa.string(), "the event as JSON, with exactly the fields that arrived"),
        ]
    ),
    "judges": pa.schema(
        [
            _RUN,
            _SCENARIO,
            _SIDE,
            _column("batch", pa.int32(), "first of its batches in `callbacks`; above 0 for more recordings"),
            _column("name", pa.string(), "trace, recording or mode that gave the callbacks"),
            _column("sha256", pa.string(), "of it"),
            _column("seed", pa.int64(), "of everything drawn"),
            _column("answers_sha256", pa.string(), "of what was answered, apart from when"),
            _column("trial", pa.bool_(), "whether the run is not the scenario's own"),
            _column("asked_batch_ids", pa.string(), "JSON list of the batch ids asked: the batch, then its repeats"),
        ]
    ),
    "quarantine": pa.schema(
        [
            _RUN,
            _SCENARIO,
            _column("batch", pa.int32(), "0 for the main recording; see `judges`"),
            _column("line", pa.int32(), "1-based line of its llm_callbacks.jsonl"),
            _column("field", pa.string(), "dotted key at fault; empty when the whole line is"),
            _column("reason", pa.string(), "why the line is not a usable callback"),
            _column("raw", pa.binary(), "the line's bytes"),
        ]
    ),
    "summaries": pa.schema(
        [
            _RUN,
            _SCENARIO,
            _SIDE,
            _column("total_events", pa.int64(), "callbacks"),
            _column("success_count", pa.int64(), "callbacks with a winner"),
            _column("error_count", pa.int64(), "callbacks with an error"),
            _column("winner_a_count", pa.int64(), "won by the essay shown as A"),
            _column("winner_b_count", pa.int64(), "won by the essay shown as B"),
            _column("mean_ms", pa.float64(), "mean response time"),
            _column("p50_ms", pa.float64(), "median response time"),
            _column("p95_ms", pa.float64(), "95th percentile, interpolated"),
            _column("p99_ms", pa.float64(), "99th percentile, interpolated"),
            _column("prompt_tokens_mean", pa.float64(), "tokens"),
            _column("completion_tokens_mean", pa.float64(), "tokens"),
            _column("total_tokens_mean", pa.float64(), "tokens"),
            _column("document", pa.string(), "summary.json"),
        ]
    ),
    "runs": pa.schema(
        [
            _RUN,
            _SCENARIO,
            _SIDE,
            _column("judge", pa.string(), "trace or mode that answered"),
            _column("judge_sha256", pa.string(), "of that trace or mode"),
            _column("seed", pa.int64(), "of everything drawn"),
            _column("upload_status", pa.string(), "how the batch ended"),
            _column("submitted", pa.int64(), "comparisons asked for"),
            _column("completed", pa.int64(), "comparisons with a winner"),
            _column("failed", pa.int64(), "comparisons with an error"),
            _column("iterations", pa.int64(), "waves"),
            _column("resampling_pass_count", pa.int64(), "passes over covered pairs"),
            _column("max_possible_pairs", pa.int64(), "unordered pairs of the net"),
            _column("successful_pairs_count", pa.int64(), "distinct pairs with a winner"),
            _column("document", pa.string(), "the whole record as JSON, callbacks apart"),
        ]
    ),
    "decisions": pa.schema(
        [
            _RUN,
            _SCENARIO,
            _SIDE,
            _column("ordinal", pa.int32(), "order, from 0"),
            _column("kind", pa.string(), "what the engine did"),
            _column("reason", pa.string(), "the facts that made it do so"),
            _column("iteration", pa.int32(), "waves submitted by then"),
            _column("callbacks", pa.int64(), "comparisons answered by then"),
            _column("success_rate", pa.float64(), "share with a winner", nullable=True),
            _column("max_score_change", pa.float64(), "logits; null before there are two fits", nullable=True),
        ]
    ),
    "bt_fit": pa.schema(
        [
            _RUN,
            _SCENARIO,
            _SIDE,
            _column("rank", pa.int32(), "1 is best"),
            _column("essay_id", pa.string(), "essay"),
            _column("label", pa.string(), "the name people use"),
            _column("grade", pa.string(), "known grade", nullable=True),
            _column("theta", pa.float64(), "Bradley-Terry score, logits, mean-centred"),
            _column(
                "standard_error", pa.float64(), "logits, centred gauge; null when nothing was compared", nullable=True
            ),
            _column("wins", pa.int64(), "comparisons won"),
            _column("losses", pa.int64(), "comparisons lost"),
        ]
    ),
    "service_metrics": pa.schema(
        [
            _RUN,
            _SCENARIO,
            _column("name", pa.string(), "sample name as /metrics shows it"),
            _column("labels", pa.string(), "JSON object, keys sorted"),
            _column("value", pa.float64(), "sample value"),
        ]
    ),
    "parity_checks": pa.schema(
        [
            _RUN,
            _SCENARIO,
            _column("check", pa.string(), "name of the check"),
            _column("verdict", pa.string(), "of the check: pass, fail, off, or partial: not all compared"),
            _column(
                "evidence",
                pa.string(),
                "EQUIVALENT, DIFFERENT or INCONCLUSIVE; null where none is computed",
                nullable=True,
            ),
            _column("recorded", pa.float64(), "recorded value", nullable=True),
            _column("live", pa.float64(), "live value", nullable=True),
            _column("value", pa.float64(), "the number held against the tolerance", nullable=True),
            _column("tolerance", pa.string(), "the limits, in words"),
            _column("unit", pa.string(), "unit of value, difference, interval, margin, noise and detectable"),
            _column("difference", pa.float64(), "live minus recorded, or minus what is expected", nullable=True),
            _column("low", pa.float64(), "lower end of its 95 % interval; null where it has none", nullable=True),
            _column("high", pa.float64(), "upper end of its 95 % interval; null where it has none", nullable=True),
            _column("margin_low", pa.float64(), "difference below which the drift matters", nullable=True),
            _column("margin_high", pa.float64(), "difference above which the drift matters", nullable=True),
            _column("noise_low", pa.float64(), "lowest difference that chance explains; null: any", nullable=True),
            _column("noise_high", pa.float64(), "highest difference that chance explains; null: any", nullable=True),
            _column("p", pa.float64(), "of a faithful run to lie as far off, Holm-adjusted", nullable=True),
            _column("detectable", pa.float64(), "smallest drift found in 80 % of runs; null: none", nullable=True),
            _column("n_recorded", pa.int64(), "recorded observations", nullable=True),
            _column("n_live", pa.int64(), "live observations", nullable=True),
            _column("sentence", pa.string(), "the result in words"),
            _column("run_verdict", pa.string(), "of the run: PARITY, NO PARITY or CANNOT TELL"),
            _column("expected_verdict", pa.string(), "the verdict that the scenario expects"),
            _column("run_doubts", pa.string(), "why the run is CANNOT TELL, by kind, comma between"),
            _column("run_reasons", pa.string(), "the same in words, a sentence a line; empty otherwise"),
        ]
    ),
    "parity_reports": pa.schema(
        [
            _RUN,
            _SCENARIO,
            _column("verdict", pa.string(), "PARITY, NO PARITY or CANNOT TELL"),
            _column("as_expected", pa.bool_(), "whether it is the verdict that the scenario expects"),
            _column("recorded_judge", pa.string(), "trace that gave the recorded side's callbacks"),
            _column("live_judge", pa.string(), "mode that gave the live side's callbacks"),
            _column("document", pa.string(), "the whole comparison as JSON, the two runs apart"),
        ]
    ),
    "detection_limits": pa.schema(
        [
            _RUN,
            _SCENARIO,
            _column("kind", pa.string(), "kind of drift"),
            _column("unit", pa.string(), "unit of up, down and largest"),
            _column("up", pa.float64(), "smallest drift upwards found in 80 % of runs; null: none", nullable=True),
            _column("down", pa.float64(), "the same downwards; null: none, or not asked", nullable=True),
            _column("both_ways", pa.bool_(), "whether a drift downwards is asked"),
            _column("largest", pa.float64(), "largest drift that was tried"),
            _column("sentence", pa.string(), "the limit in words"),
        ]
    ),
    "gauntlet": pa.schema(
        [
            _RUN,
            _SCENARIO,
            _column("wrong_mock", pa.string(), "its name"),
            _column("mock_group", pa.string(), "what it is wrong about"),
            _column("change", pa.string(), "what it does: a mock that ..."),
            _column("essential", pa.bool_(), "whether a proof of parity must find it"),
            _column("rate", pa.float64(), "share of runs in which it is found; null: left out", nullable=True),
            _column("first_check", pa.string(), "check that finds it most often; empty: none"),
            _column("left_out", pa.string(), "why it was not looked for; empty otherwise"),
            _column("blind", pa.bool_(), "whether it is found in less than 80 % of runs"),
            _column("more_recorded", pa.int64(), "further recorded comparisons that would help most", nullable=True),
            _column("times_live", pa.int64(), "live batches that would, as a multiple", nullable=True),
            _column("rate_then", pa.float64(), "estimated rate with these", nullable=True),
        ]
    ),
    "alignment": pa.schema(
        [
            _RUN,
            _SCENARIO,
            _SIDE,
            _column("essay_id", pa.string(), "graded anchor"),
            _column("label", pa.string(), "the name people use"),
            _column("grade", pa.string(), "known grade"),
            _column("theta", pa.float64(), "logits"),
            _column("standard_error", pa.float64(), "logits, not capped; null where nothing is known", nullable=True),
            _column("rank", pa.int32(), "by theta, 1 is best"),
            _column("expected_rank", pa.int32(), "by grade; equal grades keep their order by theta"),
            _column("wins", pa.int64(), "comparisons won"),
            _column("losses", pa.int64(), "comparisons lost"),
            _column("win_rate", pa.float64(), "wins / comparisons; 0 without any"),
        ]
    ),
}

HISTORY = "history"
HISTORY_SCHEMA = pa.schema(
    [
        _RUN,
        _SCENARIO,
        _column("time", TIMESTAMP, "when the run was compared"),
        _column("mode", pa.string(), "mode that gave the live side's callbacks"),
        _column("mode_sha", pa.string(), "of the mode"),
        _column("recording_sha", pa.string(), "of the recording; of all of them where there are more"),
        _column("code_sha", pa.string(), "commit of the code; its version where it is no checkout"),
        _column("scenario_sha", pa.string(), "of scenario.yaml"),
        _column("seed", pa.int64(), "of everything the mock drew"),
        _column("answers_sha", pa.string(), "of what the live side answered, apart from when"),
        *(
            field
            for field in SCHEMAS["parity_checks"]
            if field.name
            in {
                *("check", "verdict", "evidence", "recorded", "live", "value", "tolerance", "unit", "difference"),
                *("margin_low", "margin_high", "noise_low", "noise_high", "run_verdict", "expected_verdict"),
            }
        ),
    ]
)
"""Of the history, which is no part of a run: a row for each check of each published run."""

PARITY_PART = "parity"
"""The part of a dataset that is about both sides."""

REPORTS = "parity_reports"
DETECTION_LIMITS = "detection_limits"
GAUNTLET = "gauntlet"

_BOTH = ("recorded", "live")

PARTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(SCHEMAS, _BOTH),
    "quarantine": ("recorded",),
    "service_metrics": ("live",),
    "parity_checks": (PARITY_PART,),
    REPORTS: (PARITY_PART,),
    DETECTION_LIMITS: (PARITY_PART,),
    GAUNTLET: (PARITY_PART,),
}
"""What a run of a scenario consists of: the parts of each dataset."""

OPTIONAL = frozenset({GAUNTLET})
"""Datasets without which a run is whole all the same."""

NEW = frozenset({DETECTION_LIMITS})
"""Datasets that runs of older versions lack."""


def describe(dataset: str) -> list[tuple[str, str, bool, str]]:
    """Return (name, type, nullable, description) of each column of a dataset, in order."""
    return [
        (field.name, str(field.type), field.nullable, (field.metadata or {}).get(b"description", b"").decode())
        for field in SCHEMAS[dataset]
    ]
