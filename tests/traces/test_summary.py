"""Facts of `summary.json` and of the percentile it is written with."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.contracts.callback import LLMComparisonResultV1, parse_callback
from cj_pipeline.foundation.numbers import percentile
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay
from cj_pipeline.traces.store import CALLBACKS_FILE, read_trace
from cj_pipeline.traces.summary import Summary, summarise, summarise_file
from tests.traces.folders import ANCHORS, SCENARIOS, TRACES, one_event


def callback(latency_ms: int, winner: str | None = None, code: str = "RATE_LIMIT") -> LLMComparisonResultV1:
    event = one_event()
    event["data"]["response_time_ms"] = latency_ms
    event["data"]["winner"] = winner
    if winner is None:
        event["data"].update(justification=None, confidence=None)
        event["data"]["error_detail"] = {
            "error_code": code,
            "message": "refused",
            "correlation_id": event["correlation_id"],
            "timestamp": "2025-12-01T00:00:00Z",
            "service": "llm_provider_service",
            "operation": "comparison",
        }
    parsed = parse_callback(json.dumps(event).encode())
    assert not hasattr(parsed, "reason"), parsed
    return parsed.data


def test_three_winners_and_two_errors() -> None:
    # The case that production's own unit test of the summary states.
    summary = summarise(
        [
            callback(100, "Essay A"),
            callback(200, "Essay A"),
            callback(300, "Essay B"),
            callback(400, code="RATE_LIMIT"),
            callback(500, code="TIMEOUT"),
        ],
        "five",
    )
    assert (summary.total_events, summary.success_count, summary.error_count) == (5, 3, 2)
    assert summary.winner_counts == {"Essay A": 2, "Essay B": 1, "error": 2}
    # The value on the wire, not the name of a Python class.
    assert summary.error_code_counts == {"RATE_LIMIT": 1, "TIMEOUT": 1}
    assert summary.response_time_ms.min_ms == 100.0
    assert summary.response_time_ms.max_ms == 500.0
    assert summary.response_time_ms.mean_ms == 300.0
    assert summary.response_time_ms.p50_ms == 300.0
    assert summary.bt_se_summary is not None
    assert summary.bt_se_summary["comparison_count"] == 3
    assert summary.bt_quality_flags == {
        "bt_se_inflated": True,
        "comparison_coverage_sparse": False,
        "has_isolated_items": False,
    }


def test_no_callbacks_at_all_give_zeros() -> None:
    summary = summarise([], "none")
    assert (summary.total_events, summary.winner_counts, summary.error_code_counts) == (0, {}, {})
    assert set(summary.response_time_ms.model_dump().values()) == {0.0}
    assert {value for kind in summary.token_usage.model_dump().values() for value in kind.values()} == {0.0}


def test_only_labels_that_occur_are_counted() -> None:
    assert summarise([callback(1, "Essay B")], "b").winner_counts == {"Essay B": 1}


def test_json_has_productions_keys_sorted_and_one_newline_at_the_end() -> None:
    text = summarise([callback(100, "Essay A")], "one").to_json()
    assert text.startswith('{\n  "bt_quality_flags": {\n')
    assert text.endswith("}\n")
    assert not text.endswith("\n\n")
    keys = list(json.loads(text))
    assert keys == [
        "bt_quality_flags",
        "bt_se_summary",
        "error_code_counts",
        "error_count",
        "response_time_ms",
        "scenario_id",
        "success_count",
        "token_usage",
        "total_events",
        "winner_counts",
    ]


def test_a_summary_survives_its_file_and_takes_what_a_replay_found() -> None:
    summary = summarise([callback(100, "Essay A")], "one").with_bt(
        {"mean_se": 0.9, "item_count": 5}, {"bt_se_inflated": True}
    )
    assert Summary.model_validate_json(summary.to_json()) == summary
    assert json.loads(summary.to_json())["bt_se_summary"] == {"item_count": 5, "mean_se": 0.9}


def test_a_file_is_summarised_as_its_callbacks_are() -> None:
    folder = TRACES / ANCHORS
    callbacks = [recorded.event.data for recorded in read_trace(folder).callbacks.events]
    assert summarise_file(folder / CALLBACKS_FILE, ANCHORS) == summarise(callbacks, ANCHORS)


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_the_diagnostics_are_those_of_a_replay_through_the_engine(scenario_id: str) -> None:
    trace = read_trace(TRACES / scenario_id)
    events = [recorded.event for recorded in trace.callbacks.events]
    fit = replay(trace.scenario, events, side=Side.RECORDED, judge=JudgeIdentity("trace", trace.sha256)).document.fit
    essays = [item.id for item in trace.scenario.net.items]
    summary = summarise_file(trace.folder / CALLBACKS_FILE, scenario_id, essays)
    assert summary.bt_se_summary == pytest.approx(fit.se_summary, abs=1e-9)
    assert summary.bt_quality_flags == fit.quality_flags


def test_answers_that_give_no_scale_have_no_diagnostics() -> None:
    summary = summarise([callback(400)], "failed")
    assert (summary.bt_se_summary, summary.bt_quality_flags) == (None, None)


@pytest.mark.parametrize(
    ("p", "expected"),
    [(-5, 10.0), (0, 10.0), (50, 25.0), (95, 38.5), (99, 39.7), (100, 40.0), (140, 40.0)],
)
def test_percentiles_of_10_20_30_40(p: float, expected: float) -> None:
    # index (4 - 1) p / 100: 95 lies at 2.85, so 30 + .85 x 10
    assert percentile([40, 10, 30, 20], p) == pytest.approx(expected)


def test_percentile_of_one_value_and_of_none() -> None:
    assert percentile([7], 95) == 7
    assert percentile([], 95) == 0.0


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=200), st.floats(0, 100))
def test_percentile_is_numpys(values: list[int], p: float) -> None:
    assert percentile(values, p) == pytest.approx(float(np.percentile(values, p)), abs=1e-6)


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=50))
def test_a_higher_percentile_is_never_smaller(values: list[int]) -> None:
    assert all(low <= high for low, high in pairwise(percentile(values, p) for p in range(0, 101, 5)))
