"""This module says how a batch of a CJ database is: status, batching, counters, standard errors, what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import comb
from typing import Any

from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.diagnostics import flags_are_vacuous
from cj_pipeline.eng5.batching import TEXTS
from cj_pipeline.eng5.diagnostics.extract import outcome_of, winner_of
from cj_pipeline.traces.importing.cj_tables import BatchRows

Block = dict[str, Any]

FLAGS = ("bt_se_inflated", "comparison_coverage_sparse", "has_isolated_items")
_OVER = ("COMPLETE", "ERROR")
_COUNTERS = ("total_budget", "total_comparisons", "submitted_comparisons", "completed_comparisons",
             "failed_comparisons", "current_iteration")  # fmt: skip
_PROGRESS = ("max_possible_pairs", "successful_pairs_count", "unique_coverage_complete", "resampling_pass_count",
             "is_small_net", "small_net_cap_reached", "last_score_change")  # fmt: skip


def batch_report(rows: BatchRows) -> Block:
    """Return the state of a batch as JSON values. What the database does not hold is null."""
    upload, state = rows.upload, rows.state
    stored = _mapping(state["processing_metadata"])
    request = _mapping(stored.get("original_request"))
    outcomes = Counter(outcome_of(pair) for pair in rows.pairs)
    return {
        "batch": {
            name: upload.get(name)
            for name in ("id", "bos_batch_id", "status", "assignment_id", "created_at", "updated_at", "completed_at")
        },
        "state": {name: state.get(name) for name in ("state", "last_activity_at", "partial_scoring_triggered")},
        "batching": {
            "effective": stored.get("llm_batching_mode"),
            "override": _mapping(request.get("batch_config_overrides")).get("llm_batching_mode_override"),
        },
        "overrides": overrides_of_batch(stored, request),
        "counters": {name: state.get(name) for name in _COUNTERS}
        | {name: outcomes[name] for name in ("won", "failed", "waiting")},
        "progress": {name: stored.get(name) for name in _PROGRESS}
        | {"essays": len(rows.essays), "nc2": comb(len(rows.essays), 2)},
        "errors": dict(_errors(rows)),
        "standard_errors": stored.get("bt_se_summary"),
        "flags": stored.get("bt_quality_flags"),
        "flags_that_no_judge_could_avoid": _vacuous(rows) if stored.get("bt_quality_flags") else None,
        "projections": dict(Counter(str(row["primary_grade"]) for row in rows.projections)),
        "anchors": {
            "in_the_batch": sum(bool(row["is_anchor"]) for row in rows.essays),
            "registered": len(rows.anchors),
        },
        "problems": list(_problems(rows, stored, outcomes)),
    }


def overrides_of_batch(stored: Mapping[str, Any], request: Mapping[str, Any]) -> Block:
    """Return what the batch's request overrode, by name. A text is shown by its length."""
    asked = _mapping(request.get("llm_config_overrides")) or _mapping(stored.get("llm_overrides"))
    found = {
        name: f"{len(value)} characters" if name in TEXTS and isinstance(value, str) else value
        for name, value in asked.items()
        if value is not None
    }
    if request.get("max_comparisons_override") is not None:
        found["max_comparisons"] = request["max_comparisons_override"]
    return found


def _problems(rows: BatchRows, stored: Mapping[str, Any], outcomes: Mapping[str, int]) -> Iterator[str]:
    """Yield what somebody should look at, a sentence each."""
    state, over = rows.state, str(rows.upload["status"]).startswith(_OVER)
    if failed := _mapping(stored.get("failed_reason")):
        yield f"The service failed the batch: {failed.get('reason')}."
    if outcomes["waiting"] and over:
        yield f"The batch is over, and {outcomes['waiting']} of its comparisons have no answer."
    elif outcomes["waiting"]:
        yield (
            f"{outcomes['waiting']} comparisons wait for an answer; the last activity was at "
            f"{state.get('last_activity_at') or 'an unknown time'} UTC."
        )
    answered, counted = outcomes["won"] + outcomes["failed"], _counted(state)
    if counted is not None and counted != answered:
        yield f"The counters say {counted} answers, and {answered} rows have one."
    if outcomes["failed"]:
        codes = ", ".join(f"{code} ({count})" for code, count in _errors(rows).most_common())
        yield f"{outcomes['failed']} comparisons failed: {codes}."
    if not rows.pairs and not over:
        yield "Nothing was asked yet: is the LPS there, and does the service reach it?"
    flags = _mapping(stored.get("bt_quality_flags"))
    if raised := [flag for flag in FLAGS if flags.get(flag)]:
        yield f"Scores are uncertain ({', '.join(raised)}); a diagnosis that changed nothing."
    if rows.upload.get("assignment_id") and not rows.anchors:
        yield "The assignment has no anchors, so no grade was projected: cj-pipeline eng5 register-anchors."


def _errors(rows: BatchRows) -> Counter[str]:
    return Counter(str(pair["error_code"]) for pair in rows.pairs if outcome_of(pair) == "failed")


def _counted(state: Mapping[str, Any]) -> int | None:
    completed, failed = state.get("completed_comparisons"), state.get("failed_comparisons")
    return None if completed is None or failed is None else completed + failed


def _vacuous(rows: BatchRows) -> list[str]:
    """Return the flags that would be raised on this net whatever the judge had answered."""
    essays = {row["els_essay_id"]: number for number, row in enumerate(rows.essays)}
    won = []
    for pair in rows.pairs:
        winner, sides = winner_of(pair), (pair["essay_a_els_id"], pair["essay_b_els_id"])
        if winner is not None and set(sides) <= essays.keys():
            won.append((essays[winner], essays[sides[winner == sides[0]]]))
    best = flags_are_vacuous(Comparisons([one for one, _ in won], [other for _, other in won], len(essays)))
    return ["bt_se_inflated"] if best.bt_se_inflated else []


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}
