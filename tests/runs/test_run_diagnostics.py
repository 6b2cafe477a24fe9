"""What a run's document says of its waves and of its answers, on the committed recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.errors import ErrorDetail
from cj_pipeline.runs.record import RunDocument, RunRecord, Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay
from cj_pipeline.runs.tables import Answers, _callback_row, load_run, store_answers, store_run
from cj_pipeline.warehouse.store import Warehouse
from tests.sides import ANCHORS, GENERIC, LADDER, LOWER5, SCENARIOS, live, recorded, scenario, trace


def replayed(scenario_id: str, events: list[CallbackEvent]) -> RunDocument:
    return replay(scenario(scenario_id), events, side=Side.RECORDED, judge=JudgeIdentity("changed", "0" * 64)).document


def events_of(scenario_id: str) -> list[CallbackEvent]:
    return [line.event for line in trace(scenario_id).callbacks.events]


@pytest.mark.parametrize("make", [recorded, live])
@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_the_last_wave_is_the_fit_of_the_run(scenario_id: str, make: Callable[[str], RunRecord]) -> None:
    document = make(scenario_id).document
    last = document.waves[-1]
    assert len(document.waves) == document.iterations
    assert (last.mean_se, last.max_se) == (document.fit.se_summary["mean_se"], document.fit.se_summary["max_se"])
    assert (last.covered_pairs, last.tau_b) == (document.coverage.successful_pairs_count, pytest.approx(1.0))


def test_twelve_anchors_are_linked_by_wave_four_and_in_order_by_wave_eight() -> None:
    waves = recorded(ANCHORS).document.waves
    assert [wave.covered_pairs for wave in waves] == [6 * number for number in range(1, 12)]
    assert [wave.items_at_cap for wave in waves] == [12, 12, 12, 6, 4, 2, 0, 0, 0, 0, 0]
    assert [wave.mean_se for wave in waves[:5]] == pytest.approx([2.0, 2.0, 2.0, 1.921, 1.824], abs=1e-3)
    assert [wave.tau_b for wave in waves] == pytest.approx(
        [0.5, 0.554, 0.739, 0.769, 0.831, 0.800, 0.831, 0.954, 0.923, 0.985, 1.0], abs=1e-3
    )


def test_one_pair_asked_four_times_is_covered_once_and_then_resampled() -> None:
    waves = recorded(GENERIC).document.waves
    assert [(wave.kind.value, wave.covered_pairs) for wave in waves] == [("coverage", 1)] + [("resampling", 1)] * 3
    assert [wave.max_score_change for wave in waves] == [
        None,
        *(pytest.approx(x, abs=1e-3) for x in (0.342, 0.201, 0.143)),
    ]


@pytest.mark.parametrize(
    ("scenario_id", "reliability", "separation", "effect", "error", "first_wins"),
    [
        (ANCHORS, 0.836, 2.260, 0.057, 0.568, 35),
        (LADDER, 0.814, 2.094, 0.666, 0.682, 33),
        (LOWER5, 0.402, 0.819, -0.993, 2.205, 4),
    ],
)
def test_a_recording_has_a_reliability_and_a_position_effect(
    scenario_id: str, reliability: float, separation: float, effect: float, error: float, first_wins: int
) -> None:
    found = recorded(scenario_id).document.diagnostics
    assert found is not None
    assert found.reliability is not None
    assert found.position_effect is not None
    assert (found.reliability.reliability, found.reliability.separation) == pytest.approx(
        (reliability, separation), abs=1e-3
    )
    assert (found.position_effect.logits, found.position_effect.standard_error) == pytest.approx(
        (effect, error), abs=1e-3
    )
    assert found.position_effect.first_wins == first_wins
    assert (found.isolated, found.disconnected, found.warnings) == ((), (), ())


def test_the_two_anchors_that_upset_the_order_have_the_largest_infit() -> None:
    # vt_002 lost to all the others but vt_004, which beat both of its other neighbours.
    found = recorded(ANCHORS).document.diagnostics
    assert found is not None
    labels = {item.id: item.label for item in scenario(ANCHORS).net.items}
    infit = {labels[row.essay_id]: row.infit for row in found.essays}
    above = {label: value for label, value in infit.items() if value is not None and value > 1}
    assert above == {"vt_002_F+": pytest.approx(1.192, abs=1e-3), "vt_004_E+": pytest.approx(1.071, abs=1e-3)}


def test_both_sides_have_the_same_diagnostics_apart_from_who_judged() -> None:
    judged, mocked = recorded(LOWER5).document.diagnostics, live(LOWER5).document.diagnostics
    assert judged is not None
    assert mocked is not None
    # The LOWER5 mode gives the recorded verdicts.
    assert mocked.essays == judged.essays
    assert mocked.position_effect == judged.position_effect
    assert [(j.provider, j.model, j.comparison_count) for j in judged.judges] == [("openai", "gpt-5.1", 10)]
    assert [(j.provider, j.model, j.comparison_count) for j in mocked.judges] == [("openai", "gpt-5.1", 10)]


def test_each_model_among_the_answers_is_a_judge_of_its_own() -> None:
    events = events_of(ANCHORS)
    changed = [
        event.model_copy(update={"data": event.data.model_copy(update={"model": "other"})}) if number < 20 else event
        for number, event in enumerate(events)
    ]
    found = replayed(ANCHORS, changed).diagnostics
    assert found is not None
    assert [(judge.model, judge.comparison_count) for judge in found.judges] == [("gpt-5.1", 46), ("other", 20)]


def test_an_answer_that_arrives_twice_counts_once_and_for_the_judge_who_was_first() -> None:
    events = events_of(LOWER5)
    again = events[2].model_copy(update={"data": events[2].data.model_copy(update={"model": "other"})})
    document = replayed(LOWER5, [*events[:3], again, *events[3:]])
    assert document.diagnostics == recorded(LOWER5).document.diagnostics
    assert document.waves == recorded(LOWER5).document.waves


def test_a_comparison_that_failed_is_no_answer_of_its_judge() -> None:
    events = events_of(LOWER5)
    data = events[4].data
    error = ErrorDetail(
        error_code="TIMEOUT",
        message="no answer",
        correlation_id=data.correlation_id,
        timestamp=data.completed_at,
        service="llm_provider_service",
        operation="compare",
    )
    events[4] = events[4].model_copy(update={"data": data.model_copy(update={"winner": None, "error_detail": error})})
    document = replayed(LOWER5, events)
    assert [(wave.asked, wave.failed, wave.covered_pairs) for wave in document.waves][1:3] == [(2, 0, 4), (2, 1, 5)]
    assert document.diagnostics is not None
    assert [judge.comparison_count for judge in document.diagnostics.judges] == [9]


def test_an_essay_that_no_answer_mentions_is_isolated() -> None:
    known = {essay for event in events_of(LOWER5) for essay in event.data.essay_ids()}
    alone = min(known)
    rest = [event for event in events_of(LOWER5) if alone not in event.data.essay_ids()]
    found = replayed(LOWER5, rest).diagnostics
    assert found is not None
    assert found.isolated == (alone,)
    (row,) = [row for row in found.essays if row.essay_id == alone]
    assert (row.infit, row.outfit, row.within_part_error) == (None, None, None)
    assert found.reliability is not None
    assert found.reliability.n_items == 4


def test_a_document_comes_back_from_the_warehouse_with_waves_and_diagnostics(tmp_path: Path) -> None:
    folder, run = Warehouse(tmp_path).run("run-1", ANCHORS), recorded(ANCHORS)
    judge = JudgeIdentity(run.document.judge, run.document.judge_sha256)
    store_answers(folder, Side.RECORDED, Answers(judge, run.document.seed, run.events))
    store_run(folder, run)
    loaded = load_run(folder, Side.RECORDED)
    assert isinstance(loaded, RunRecord)
    assert loaded.document == run.document


def test_a_document_stored_before_waves_were_kept_is_read_without_them() -> None:
    shown = recorded(LOWER5).document.model_dump(mode="json", exclude={"waves", "diagnostics"})
    old = RunDocument.model_validate(shown)
    assert (old.waves, old.diagnostics, old.fit) == ((), None, recorded(LOWER5).document.fit)


@pytest.mark.parametrize(("known", "kept"), [(True, True), (False, False)])
def test_a_confidence_that_the_judge_did_not_give_is_absent_in_the_table(known: bool, kept: bool) -> None:
    event = events_of(LOWER5)[0].model_copy(deep=True)
    if not known:
        event.data.request_metadata["confidence_known"] = False
    row = _callback_row(LOWER5, Side.RECORDED, 0, 0, event)
    assert (row["confidence"] is not None) == kept
