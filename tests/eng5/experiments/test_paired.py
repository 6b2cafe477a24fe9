"""This module tests what the table of an experiment says: which differences it finds, and which it does not."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.bt.agreement import kendall_tau_a
from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.errors import ErrorCode, ErrorDetail
from cj_pipeline.eng5.experiments.experiment import Experiment
from cj_pipeline.eng5.experiments.measures import CellMeasures
from cj_pipeline.eng5.experiments.paired import MEASURED, Difference, Finding, PairedTable, _adjusted, paired
from cj_pipeline.eng5.experiments.shown import as_markdown, notes_of, write_results
from cj_pipeline.eng5.experiments.table import Results, as_document, cell_rows, results_of
from cj_pipeline.mock.model.answers import answers_of
from cj_pipeline.parity.evidence import holm
from tests.eng5.experiments.stand import asked, experiment

LOW, INVERTED = "eng5_anchor_gpt51_low", "eng5_anchor_gpt51_low+inverted"


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The twelve anchors, judged by a mode, by the same once more, by one that prefers the other essay, and coins."""
    modes = [LOW, INVERTED]
    cells = [{"mock_mode": mode, "repeat": number} for mode in modes for number in (1, 2)]
    one = experiment(tmp_path_factory.mktemp("tried"), small=False, cells=cells)
    asked(one)
    return results_of(one)


def differences(results: Results, place: int) -> dict[str, Difference]:
    assert results.table is not None
    return {one.measure: one for one in results.table.pairings[place].differences}


def changed(cell: CellMeasures, change: Any, name: str = "changed") -> CellMeasures:
    """Return a cell with other answers. change: of each callback and its number."""
    callbacks = tuple(change(callback, number) for number, callback in enumerate(cell.case.callbacks))
    return replace(
        cell,
        cell=replace(cell.cell, name=name, label=name),
        case=replace(cell.case, callbacks=callbacks),
        answers=answers_of([callbacks]),
    )


def against(base: CellMeasures, other: CellMeasures) -> dict[str, Difference]:
    return {one.measure: one for one in paired(base, [other]).pairings[0].differences}


def test_the_same_judge_asked_again_is_not_different(tried: Results) -> None:
    found = differences(tried, 0)
    assert {one.finding for one in found.values()} <= {Finding.EQUIVALENT, Finding.OPEN}
    assert list(found) == list(MEASURED)
    assert found["tokens_prompt"].p is None
    assert found["tokens_prompt"].finding is Finding.EQUIVALENT


def test_a_judge_that_prefers_the_other_essay_is_found_and_its_position_is_not(tried: Results) -> None:
    for place in (1, 2):
        found = differences(tried, place)
        for measure in ("answer_agreement", "anchor_tau", "inversions"):
            assert found[measure].finding is Finding.DIFFERENT, measure
            assert not found[measure].low <= 0 <= found[measure].high
        for measure in ("position_effect", "latency_mean", "error_rate"):
            assert found[measure].finding is not Finding.DIFFERENT, measure


def test_a_difference_within_its_margin_stays_equivalent_however_sure_it_is(tried: Results) -> None:
    one = replace(differences(tried, 0)["latency_mean"], finding=Finding.EQUIVALENT)
    assert _adjusted(one, 1e-6).finding is Finding.EQUIVALENT
    assert _adjusted(replace(one, finding=Finding.OPEN), 1e-6).finding is Finding.DIFFERENT
    assert _adjusted(replace(one, finding=Finding.OPEN), 0.5).finding is Finding.OPEN


def test_a_better_judge_is_a_difference_as_well(tried: Results) -> None:
    base, _, inverted, _ = tried.measured
    up, down = against(base, inverted)["anchor_tau"], against(inverted, base)["anchor_tau"]
    assert up.difference * down.difference < 0
    assert up.finding is down.finding is Finding.DIFFERENT


def test_every_p_value_of_the_table_is_adjusted_together(tried: Results) -> None:
    table = tried.table
    assert table is not None
    tests = {
        f"{number} {one.measure}": (one.p, one.p_adjusted)
        for number, pairing in enumerate(table.pairings)
        for one in pairing.differences
        if one.p is not None
    }
    assert len(tests) == table.tests == 3 * (len(MEASURED) - 1)
    adjusted = holm({name: p for name, (p, _) in tests.items()})
    assert {name: p for name, (_, p) in tests.items()} == adjusted
    # Alone, the difference is more certain than among others.
    base, _, inverted, _ = tried.measured
    alone = against(base, inverted)["anchor_tau"]
    assert (alone.p_adjusted or 1) < (differences(tried, 1)["anchor_tau"].p_adjusted or 0)


def test_too_many_tests_to_decide_anything_are_said(tried: Results) -> None:
    table = tried.table
    assert table is not None
    assert table.decidable
    many = replace(table, tests=201)
    assert not many.decidable
    assert any("no p-value can stay below .05" in note for note in notes_of(replace(tried, table=many)))
    assert not any("no p-value can" in note for note in notes_of(tried))


@pytest.mark.parametrize(
    ("measure", "change"),
    [
        ("error_rate", lambda callback, number: failed(callback) if number % 3 == 0 else callback),
        (
            "latency_mean",
            lambda callback, _: callback.model_copy(update={"response_time_ms": callback.response_time_ms * 2}),
        ),
        ("tokens_completion", lambda callback, _: more_tokens(callback)),
        ("winner_share", lambda callback, number: callback.model_copy(update={"winner": Winner.A})),
        ("position_effect", lambda callback, number: callback.model_copy(update={"winner": Winner.A})),
        ("confidence", lambda callback, number: callback.model_copy(update={"confidence": 1.0})),
    ],
)
def test_a_cell_that_is_changed_on_purpose_is_found_by_its_measure(measure: str, change: Any, tried: Results) -> None:
    base, again, *_ = tried.measured
    assert against(base, changed(again, lambda callback, _: callback))[measure].finding is not Finding.DIFFERENT
    assert against(base, changed(again, change))[measure].finding is Finding.DIFFERENT


def failed(callback: LLMComparisonResultV1) -> LLMComparisonResultV1:
    detail = ErrorDetail(
        error_code=ErrorCode.TIMEOUT,
        message="Too late.",
        correlation_id=callback.correlation_id,
        timestamp=callback.completed_at,
        service="llm_provider_service",
        operation="compare",
        details={},
    )
    gone = {"winner": None, "confidence": None, "justification": None, "error_detail": detail}
    return callback.model_copy(update=gone)


def slower(callback: LLMComparisonResultV1) -> LLMComparisonResultV1:
    return callback.model_copy(update={"response_time_ms": callback.response_time_ms * 2})


def more_tokens(callback: LLMComparisonResultV1) -> LLMComparisonResultV1:
    usage = callback.token_usage
    return callback.model_copy(
        update={"token_usage": usage.model_copy(update={"completion_tokens": usage.completion_tokens + 60})}
    )


def test_a_cell_without_an_answer_says_why_nothing_is_compared(tried: Results) -> None:
    base, again, *_ = tried.measured
    silent = changed(again, lambda callback, _: failed(callback))
    table = paired(base, [silent])
    (pairing,) = table.pairings
    assert pairing.common == 0
    assert pairing.missing["anchor_tau"] == "no prompt was answered on both sides"
    assert [one.measure for one in pairing.differences] == ["error_rate"]
    assert pairing.differences[0].finding is Finding.DIFFERENT
    assert isinstance(paired(silent, [base]), PairedTable)


def test_the_numbers_of_a_cell_are_those_of_its_answers(tried: Results) -> None:
    cell = tried.measured[0]
    won = [callback.winner is Winner.A for callback in cell.case.callbacks]
    assert cell.first_shown.value == sum(won) / len(won)
    row = cell_rows(tried)[0]
    assert row["latency_mean_s"] == pytest.approx(sum(one.response_time_ms for one in cell.case.callbacks) / 66_000)
    place = {grade: number for number, grade in enumerate(cell.case.scale)}
    better = of = 0
    wins = dict.fromkeys(cell.case.grades, 0)
    for callback in cell.case.callbacks:
        first, second = callback.essay_ids()
        winner = callback.winning_essay() or ""
        wins[winner] += 1
        if cell.case.grades[first] != cell.case.grades[second]:
            of += 1
            better += place[cell.case.grades[winner]] == min(place[cell.case.grades[one]] for one in (first, second))
    assert row["better_grade_wins"] == better / of
    # Every pair was asked once, so scores are in the order of wins.
    tau = kendall_tau_a(list(wins.values()), [-place[cell.case.grades[one]] for one in wins])
    assert cell.tau_a is not None
    assert cell.tau_a.value == pytest.approx(tau, abs=0.15)


def test_table_files_agree(tried: Results) -> None:
    table, page, document = write_results(tried)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["cell"] for row in rows] == [cell.name for cell in tried.experiment.cells]
    assert [row["base"] for row in rows] == ["True", "False", "False", "False"]
    found = json.loads(document.read_text())
    assert found == json.loads(json.dumps(as_document(tried)))
    assert found["correction"] == {"method": "Holm (1979)", "tests": 27}
    inverted = found["against_the_base"][1]
    tau = next(one for one in inverted["differences"] if one["measure"] == "anchor_tau")
    assert float(rows[2]["anchor_tau_difference"]) == tau["difference"]
    assert rows[2]["anchor_tau_finding"] == tau["finding"] == "different"
    assert rows[0]["anchor_tau_difference"] == ""
    assert (rows[0]["cost_usd"], found["cells"][0]["cost_usd"], found["spent_usd"]) == ("", None, None)
    text = page.read_text()
    assert text == as_markdown(tried)
    assert text.count("| different |") == sum(row.finding is Finding.DIFFERENT for row in every(tried))
    assert "A mock answered" in text
    assert "Holm (1979) over all 27 tests" in text


def every(results: Results) -> list[Difference]:
    assert results.table is not None
    return [one for pairing in results.table.pairings for one in pairing.differences]


def test_a_table_without_its_base_waits_for_it(tmp_path: Path) -> None:
    one: Experiment = experiment(tmp_path, base={"effort": "low", "prompt": "rubric"})
    assert one.base.name == "effort-low.prompt-rubric"
    empty = results_of(one)
    assert (empty.table, empty.complete, len(empty.waiting)) == (None, False, 4)
    assert cell_rows(empty) == []
    asked(one)
    whole = results_of(one)
    assert whole.table is not None
    assert whole.table.base.cell == one.base
    assert [row["base"] for row in cell_rows(whole)] == [False, False, False, True]
