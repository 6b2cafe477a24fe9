"""Every number published about the four runs, written out here, on the committed traces."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.traces.store import Trace, read_trace
from cj_pipeline.traces.summary import Summary, summarise
from tests.traces.folders import ANCHORS, BATCH_33, GENERIC, LADDER, LOWER5, SCENARIOS, TRACES


def callbacks(trace: Trace) -> list[LLMComparisonResultV1]:
    return [event.event.data for event in trace.callbacks.events]


def trace_of(scenario_id: str) -> tuple[Trace, Summary]:
    trace = read_trace(TRACES / scenario_id)
    return trace, summarise(callbacks(trace), scenario_id)


def won(trace: Trace) -> list[tuple[str, str]]:
    """Labels of winner and loser, event by event."""
    label = {item.id: item.label for item in trace.scenario.net.items}
    rows = []
    for callback in callbacks(trace):
        winner = callback.winning_essay()
        loser = next(essay for essay in callback.essay_ids() if essay != winner)
        rows.append((label[str(winner)], label[loser]))
    return rows


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_nothing_is_quarantined_and_the_summary_is_of_these_callbacks(scenario_id: str) -> None:
    trace, summary = trace_of(scenario_id)
    assert trace.callbacks.quarantined == ()
    assert (trace.folder / "summary.json").read_text(encoding="utf-8") == summary.to_json()
    errors = 66 if scenario_id == BATCH_33 else 0
    assert (summary.error_count, sum(summary.error_code_counts.values())) == (errors, errors)


def test_generic_round_trip() -> None:
    trace, summary = trace_of(GENERIC)
    assert (summary.total_events, summary.success_count) == (4, 4)
    assert summary.winner_counts == {"Essay A": 4}
    tokens = summary.token_usage
    assert (tokens.prompt_tokens.mean, tokens.completion_tokens.mean, tokens.total_tokens.mean) == (5, 17, 22)
    for callback in callbacks(trace):
        assert callback.essay_ids() == ("essay-a-generic", "essay-b-generic")
        assert callback.request_metadata["bos_batch_id"] == "bos-roundtrip-001"
        assert callback.request_metadata["cj_llm_batching_mode"] == "per_request"
        # A mock without a model override; its cache is on and never hits.
        assert "resolved_model" not in callback.request_metadata
        assert callback.request_metadata["cache_read_input_tokens"] == 0
        assert callback.request_metadata["cache_creation_input_tokens"] == 5
        assert callback.request_metadata["usage"]["total_tokens"] == 22
        assert 4.36 <= (callback.confidence or 0) <= 4.84
    assert trace.scenario.batch.callback_topic == "test.llm.callback.roundtrip.v1"


def test_anchor_alignment_138() -> None:
    trace, summary = trace_of(ANCHORS)
    assert (summary.total_events, summary.success_count) == (66, 66)
    assert summary.winner_counts == {"Essay A": 35, "Essay B": 31}
    tokens = summary.token_usage
    assert (tokens.prompt_tokens.mean, tokens.completion_tokens.mean, tokens.total_tokens.mean) == (
        1445.5,
        53.5,
        1499.0,
    )
    latency = summary.response_time_ms
    assert (round(latency.mean_ms, 1), round(latency.p95_ms, 1), round(latency.p99_ms, 1)) == (1609.9, 2231.0, 2323.3)
    assert {frozenset(pair) for pair in won(trace)} == {
        frozenset(pair) for pair in combinations([item.label for item in trace.scenario.net.items], 2)
    }
    for callback in callbacks(trace):
        metadata = callback.request_metadata
        assert metadata["bos_batch_id"] == "ddc3f259-b125-4a08-97fb-f4907fa50b3d"
        assert metadata["cj_batch_id"] == "138"
        assert (metadata["reasoning_effort"], metadata["output_verbosity"]) == ("low", "medium")
        assert (callback.provider, callback.model, metadata["resolved_model"]) == ("openai", "gpt-5.1", "gpt-5.1")
        assert not {"usage", "cache_read_input_tokens"} & set(metadata)


def test_anchor_alignment_138_has_a_good_judge_with_a_few_upsets() -> None:
    # Nothing is published about its outcomes; this states what was drawn, so that nobody mistakes it for the ladder.
    trace, _ = trace_of(ANCHORS)
    scale = trace.scenario.net.grade_scale or ()
    grade = {item.label: scale.index(item.grade or "") for item in trace.scenario.net.items}
    upsets = [(winner, loser) for winner, loser in won(trace) if grade[winner] > grade[loser]]
    assert sorted(upsets) == [("vt_002_F+", "vt_004_E+"), ("vt_005_D-", "vt_006_D+"), ("vt_007_C-", "vt_008_C+")]


def test_lower5_147() -> None:
    trace, summary = trace_of(LOWER5)
    assert (summary.total_events, summary.success_count) == (10, 10)
    assert summary.winner_counts == {"Essay A": 4, "Essay B": 6}
    prompt, completion = summary.token_usage.prompt_tokens, summary.token_usage.completion_tokens
    assert (prompt.min, prompt.mean, prompt.max) == (1125, 1298, 1455)
    assert (completion.min, completion.mean, completion.max) == (33, 35, 36)
    assert summary.token_usage.total_tokens.mean == 1333
    latency = summary.response_time_ms
    assert (round(latency.mean_ms), round(latency.p95_ms), round(latency.p99_ms)) == (1588, 2142, 2149)
    for callback in callbacks(trace):
        metadata = callback.request_metadata
        assert metadata["bos_batch_id"] == "50f4509e-2e8c-4c62-a19d-93cf0739eefd"
        assert metadata["cj_batch_id"] == "147"
        assert (metadata["reasoning_effort"], metadata["output_verbosity"]) == ("low", "low")


def test_lower5_147_is_a_ladder_by_grade_with_one_winless_f_plus() -> None:
    trace, _ = trace_of(LOWER5)
    wins = Counter(winner for winner, _ in won(trace))
    assert [wins[label] for label in ("vt_005_D-", "vt_004_E+", "vt_003_E-")] == [4, 3, 2]
    assert sorted((wins["vt_002_F+"], wins["vt_001_F+"])) == [0, 1]


def test_ladder_a259881c_wins_11_to_0_in_the_published_order() -> None:
    trace, summary = trace_of(LADDER)
    published_order = [
        "vt_012_A",
        "vt_011_A",
        "vt_009_B",
        "vt_010_B",
        "vt_008_C+",
        "vt_007_C-",
        "vt_006_D+",
        "vt_005_D-",
        "vt_004_E+",
        "vt_003_E-",
        "vt_001_F+",
        "vt_002_F+",
    ]
    assert summary.total_events == 66
    assert sorted(won(trace)) == sorted(combinations(published_order, 2))
    wins = Counter(winner for winner, _ in won(trace))
    assert [wins[label] for label in published_order] == list(range(11, -1, -1))


@pytest.mark.parametrize("scenario_id", [ANCHORS, LADDER, LOWER5])
def test_no_item_is_shown_on_one_side_more_often_than_its_count_of_comparisons_enforces(scenario_id: str) -> None:
    trace, _ = trace_of(scenario_id)
    as_a = Counter(callback.essay_ids()[0] for callback in callbacks(trace))
    as_b = Counter(callback.essay_ids()[1] for callback in callbacks(trace))
    each = len(trace.scenario.net.items) - 1
    assert {abs(as_a[item.id] - as_b[item.id]) for item in trace.scenario.net.items} == {each % 2}


@pytest.mark.parametrize(
    ("scenario_id", "waves", "size"), [(ANCHORS, 11, 6), (LADDER, 11, 6), (LOWER5, 5, 2), (GENERIC, 4, 1)]
)
def test_waves_are_disjoint_and_their_callbacks_leave_together(scenario_id: str, waves: int, size: int) -> None:
    trace, _ = trace_of(scenario_id)
    sent = callbacks(trace)
    assert len(sent) == waves * size
    for start in range(0, len(sent), size):
        wave = sent[start : start + size]
        essays = [essay for callback in wave for essay in callback.essay_ids()]
        assert len(set(essays)) == 2 * size
        assert all(callback.request_metadata["preferred_bundle_size"] == size for callback in wave)
        # The number of the wave is not sent under the per_request hint of the generic suites.
        iteration = None if scenario_id == GENERIC else start // size
        assert all(callback.request_metadata.get("comparison_iteration") == iteration for callback in wave)
        # serial_bundle: nothing is published before the bundle's last call; the next wave starts later.
        took_ms = sum(callback.response_time_ms for callback in wave)
        first_published = min(callback.completed_at for callback in wave)
        assert (first_published - max(callback.requested_at for callback in wave)).total_seconds() * 1000 > took_ms
        if start + size < len(sent):
            assert sent[start + size].requested_at > max(callback.completed_at for callback in wave)
    assert [callback.completed_at for callback in sent] == sorted(callback.completed_at for callback in sent)


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_every_callback_has_its_own_ids_and_none_of_the_envelopes_differs_from_the_wire(scenario_id: str) -> None:
    trace, _ = trace_of(scenario_id)
    envelopes = [event.event for event in trace.callbacks.events]
    assert len({envelope.event_id for envelope in envelopes}) == len(envelopes)
    for envelope in envelopes:
        assert envelope.metadata is None
        assert envelope.correlation_id == envelope.data.correlation_id
        assert envelope.event_timestamp == envelope.data.completed_at
        assert (envelope.source_service, envelope.schema_version) == ("llm_provider_service", 1)
        again = "retry_iteration" in envelope.data.request_metadata
        assert envelope.data.request_metadata["cj_request_type"] == ("cj_retry" if again else "cj_comparison")
        assert envelope.data.trace_id is None
