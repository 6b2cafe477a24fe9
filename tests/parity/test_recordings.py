"""This module tests comparisons by more than one recording: each of them counts, and a copy is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.cli.sources import find_source
from cj_pipeline.parity.between import compare_recordings, joint_verdict
from cj_pipeline.parity.compare import ParityReport, Verdict, compare
from cj_pipeline.parity.verdict import Doubt, Parity
from cj_pipeline.runs.record import RunRecord, Side
from tests.recordings import Event, asked_again, with_recording
from tests.sides import LOWER5, live, recorded, scenario, session_cache


def run_of(path: Path) -> RunRecord:
    return find_source(str(path)).replayed(Side.RECORDED, scenario(LOWER5))


def by_both(second: Path | RunRecord) -> ParityReport:
    further = second if isinstance(second, RunRecord) else run_of(second)
    return compare(
        scenario(LOWER5),
        recorded(LOWER5),
        live(LOWER5),
        scenario_file="scenario.yaml",
        further=(further,),
        cached=session_cache(),
    )


def verdict_of(report: ParityReport, check: str) -> tuple[Verdict, str]:
    result = next(result for result in report.results if result.check.name == check)
    return result.verdict, result.sentence


def test_two_recordings_of_one_judge_are_one_judge(tmp_path: Path) -> None:
    report = by_both(asked_again(tmp_path / "second.jsonl"))
    assert (report.verdict, report.recordings) == (Parity.PARITY, 2)


@pytest.mark.parametrize(
    ("check", "change", "words"),
    [
        ("identity", lambda event: event["data"].update(model="gpt-4o-mini"), "model: recorded gpt-4o-mini, gpt-5.1"),
        ("times", lambda event: event["data"].update(completed_at="1970-01-01T00:00:00Z"), "before it is requested"),
        ("cost", lambda event: event["data"].update(cost_estimate=9.0), "a million tokens cost"),
        ("ids", lambda event: event["data"].update(request_id="the same"), "came back more than once"),
        ("schema", lambda event: event["data"]["request_metadata"].update(extra=1), "extra is"),
    ],
)
def test_values_are_compared_in_every_recording(check: str, change: object, words: str, tmp_path: Path) -> None:
    def once(event: Event) -> None:
        change(event)  # type: ignore[operator]

    # A repeated request id goes to quarantine when a file is read; here it is the values that are looked at.
    path = asked_again(tmp_path / "second.jsonl", once if check != "ids" else lambda event: None)
    second = run_of(path)
    if check == "ids":
        data = second.events[0].data.model_copy(update={"request_id": recorded(LOWER5).events[0].data.request_id})
        first = second.events[0].model_copy(update={"data": data})
        second = second.model_copy(update={"events": (first, *second.events[1:])})
    verdict, sentence = verdict_of(by_both(second), check)
    assert (verdict, words in sentence) == (Verdict.FAIL, True), sentence


def test_a_copy_is_no_second_recording() -> None:
    report = by_both(recorded(LOWER5))
    assert (report.verdict, report.recordings) == (Parity.CANNOT_TELL, 1)
    assert [(one.doubt, one.sentence) for one in report.reasons] == [
        (Doubt.SAME_FILE, "two recordings are the same file, which is no second recording")
    ]


def test_a_mock_that_is_one_of_the_recordings_agrees_with_itself() -> None:
    other = live(LOWER5, seed=7)
    report = compare(
        scenario(LOWER5),
        recorded(LOWER5),
        other,
        scenario_file="scenario.yaml",
        further=(other,),
        cached=session_cache(),
    )
    assert report.verdict is not Parity.PARITY
    assert Doubt.SAME_FILE in {reason.doubt for reason in report.reasons}


def test_lines_left_out_of_a_further_recording_are_in_the_verdict(tmp_path: Path) -> None:
    path = asked_again(tmp_path / "second.jsonl")
    path.write_text(path.read_text() + '{"not": "a callback"}\n')
    report = by_both(path)
    assert report.verdict is Parity.CANNOT_TELL
    assert {reason.doubt for reason in report.reasons} == {Doubt.PARTIAL}


def nothing(run: RunRecord) -> RunRecord:
    document = run.document.model_copy(update={"quarantined_lines": 3})
    return run.model_copy(update={"events": (), "document": document})


def test_a_recording_without_a_usable_line_cannot_tell() -> None:
    report = compare(
        scenario(LOWER5), nothing(recorded(LOWER5)), live(LOWER5), scenario_file="scenario.yaml", cached=session_cache()
    )
    assert report.verdict is Parity.CANNOT_TELL
    assert [reason.sentence for reason in report.reasons] == [
        "a recording holds no usable callback",
        "3 lines of the recording could not be used and are in quarantine",
    ]
    assert {result.check.name for result in report.on} == {"recorded_lines", "live_lines"}


def test_a_mock_that_answers_nothing_is_no_parity() -> None:
    silent = live(LOWER5).model_copy(update={"events": (), "repeats": ()})
    report = compare(scenario(LOWER5), recorded(LOWER5), silent, scenario_file="scenario.yaml", cached=session_cache())
    assert report.verdict is Parity.NO_PARITY
    assert "counts" in {result.check.name for result in report.failed}


def test_recordings_are_compared_both_ways(tmp_path: Path) -> None:
    found = find_source(str(with_recording(tmp_path)))
    runs = dict(zip(("main", "second"), (found.replayed(Side.RECORDED), *found.further_runs()), strict=True))
    provenances = dict(zip(runs, found.provenances, strict=True))
    reports = compare_recordings(found.scenario, runs, provenances, scenario_file=found.scenario_file)
    assert [(one.fitted, one.judged) for one in reports] == [("main", "second"), ("second", "main")]
    assert [one.report.live.document.side for one in reports] == [Side.LIVE, Side.LIVE]
    assert joint_verdict(reports) is Parity.PARITY
