"""A draft keeps callbacks once and in order, and what it commits survives; a trace folder appears in one step."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.traces import writing
from cj_pipeline.traces.captured_scenario import ScenarioChoices, TraceFacts, captured_scenario
from cj_pipeline.traces.draft import DRAFT_FILE, CallbackDraft, DraftCounts, Place, disk_errors_in_words, kept_line
from cj_pipeline.traces.provenance import FieldOrigin, FieldProvenance, Provenance, TraceOrigin
from cj_pipeline.traces.store import TraceStore, read_trace
from cj_pipeline.traces.summary import summarise
from cj_pipeline.traces.writing import TraceDescription, WrittenLines, WrittenTrace, write_trace
from tests.contracts.messages import DROP, ERROR_DETAIL
from tests.traces.capture.topics import callback


def event(raw: bytes) -> CallbackEvent:
    read = parse_callback(raw)
    assert isinstance(read, CallbackEvent)
    return read


def take(draft: CallbackDraft, raw: bytes, time: int, source: int = 0, position: int | None = None) -> bool:
    line, read = kept_line(event(raw), raw, None)
    return draft.take(Place(time, source, time if position is None else position), read, line)


def failed(n: int, code: str) -> bytes:
    detail = ERROR_DETAIL | {"error_code": code}
    return callback(n, winner=DROP, justification=DROP, confidence=DROP, error_detail=detail)


def opened(tmp_path: Path, *messages: bytes) -> CallbackDraft:
    draft = CallbackDraft(tmp_path / DRAFT_FILE)
    for time, raw in enumerate(messages):
        take(draft, raw, time)
    draft.commit()
    return draft


def described(written: WrittenLines) -> TraceDescription:
    facts = TraceFacts(
        written.essays, 7, event(written.first).data, datetime(2026, 1, 1, tzinfo=UTC), "a test", written.hints
    )
    provenance = Provenance(
        scenario_id="spring",
        origin=TraceOrigin.CAPTURED,
        statement="a test",
        sources=("nowhere",),
        generated_by="a test",
        fields={"*": FieldProvenance(origin=FieldOrigin.RECORDED, note="a test")},
    )
    return TraceDescription(captured_scenario("spring", facts, ScenarioChoices(), None), provenance, "A test.")


def written(tmp_path: Path, draft: CallbackDraft, **more: Any) -> WrittenTrace:
    quarantine = draft.quarantine(with_raw=True)
    return write_trace(tmp_path / "spring", draft.lines(), described, quarantine=quarantine, **more)


def test_callbacks_come_out_by_time_then_source_then_position(tmp_path: Path) -> None:
    draft = CallbackDraft(tmp_path / DRAFT_FILE)
    places = [(5, 0, 9), (5, 0, 10), (5, 1, 2), (6, 0, 1), (-1, 3, 0)]
    for n, (time, source, position) in enumerate(places):
        take(draft, callback(n), time, source, position)
    order = sorted(range(5), key=lambda n: places[n])
    assert list(draft.lines()) == [callback(n) for n in order]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_of_several_for_one_request_the_earliest_is_taken_in_whatever_order_they_come(
    order: tuple[int, ...], tmp_path: Path
) -> None:
    messages = (callback(0), callback(0, winner="Essay B"), callback(0, confidence=4.9))
    draft = CallbackDraft(tmp_path / DRAFT_FILE)
    new = [take(draft, messages[n], n) for n in order]
    assert new == [True, False, False]
    assert list(draft.lines()) == [callback(0)]
    assert draft.counts() == DraftCounts(taken=1, duplicates=1, contradictions=1)
    (entry,) = map(json.loads, draft.quarantine(with_raw=False))
    assert (entry["offset"], entry["earlier_offset"], entry["field"]) == (1, 0, "data.request_id")
    assert "raw" not in entry


def test_two_answers_to_one_comparison_are_two_callbacks(tmp_path: Path) -> None:
    again = callback(0, request_id="6f0e1c56-52b7-4f10-9d4a-0b3b5e4b8a11")
    draft = opened(tmp_path, callback(0), again)
    assert (draft.counts(), draft.comparisons()) == (DraftCounts(2, 0, 0), 1)


def test_another_error_code_is_another_outcome(tmp_path: Path) -> None:
    draft = opened(tmp_path, failed(0, "TIMEOUT"), failed(0, "TIMEOUT"), failed(0, "RATE_LIMIT"))
    assert draft.counts() == DraftCounts(taken=1, duplicates=1, contradictions=1)


def test_what_was_not_committed_is_gone_with_what_was_noted_about_it(tmp_path: Path) -> None:
    draft = opened(tmp_path, callback(0))
    draft.note("next", 1)
    draft.commit()
    take(draft, callback(1), 1)
    draft.set_aside(0, 2, {"reason": "a test"})
    draft.note("next", 3)
    draft.close()
    with CallbackDraft(tmp_path / DRAFT_FILE) as again:
        assert (list(again.lines()), again.noted("next"), again.taken) == ([callback(0)], 1, 1)
        assert list(again.quarantine(with_raw=True)) == []


def test_two_processes_do_not_write_one_draft(tmp_path: Path) -> None:
    with opened(tmp_path, callback(0)):
        child = os.fork()
        if child == 0:
            try:
                CallbackDraft(tmp_path / DRAFT_FILE, wait_seconds=0.0)
            except BadInput as refused:
                os._exit(7 if "another process is writing it" in str(refused) else 8)
            os._exit(9)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


def test_a_file_that_is_no_draft_is_named(tmp_path: Path) -> None:
    (tmp_path / DRAFT_FILE).write_bytes(b"nonsense " * 1000)
    with pytest.raises(BadInput, match=r"draft\.sqlite: is no draft of a trace"):
        CallbackDraft(tmp_path / DRAFT_FILE)


def test_a_full_disk_is_said_in_a_sentence_and_costs_what_was_not_committed_alone(tmp_path: Path) -> None:
    draft = opened(tmp_path, callback(0))
    draft._db.execute("PRAGMA max_page_count = 20")
    refused = pytest.raises(CjPipelineError, match=r"cannot be written or read \(database or disk is full\)")
    with refused, disk_errors_in_words(tmp_path):
        for n in range(1, 200):
            take(draft, callback(n), n)
    draft.close()
    with CallbackDraft(tmp_path / DRAFT_FILE) as again:
        assert list(again.lines()) == [callback(0)]


def test_line_breaks_between_the_tokens_of_a_message_do_not_break_its_line(tmp_path: Path) -> None:
    written(tmp_path, opened(tmp_path, callback(0).replace(b", ", b",\r\n"), callback(1)))
    assert len(read_trace(tmp_path / "spring").callbacks.events) == 2


def test_a_written_trace_reads_like_any_other_and_has_the_summary_of_its_callbacks(tmp_path: Path) -> None:
    messages = [callback(n, cost_estimate=n / 7) for n in range(41)]
    messages += [failed(200, "RATE_LIMIT"), failed(201, "TIMEOUT"), failed(202, "RATE_LIMIT")]
    made = written(tmp_path, opened(tmp_path, *messages))
    trace = read_trace(tmp_path / "spring")
    assert trace.sha256 == made.sha256
    assert [line.raw for line in trace.callbacks.events] == messages
    essays = [item.id for item in trace.scenario.net.items]
    expected = summarise([line.event.data for line in trace.callbacks.events], "spring", essays)
    assert (tmp_path / "spring" / "summary.json").read_text() == expected.to_json()
    assert expected.bt_se_summary is not None
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "spring").iterdir()} == {0o644}


@pytest.mark.parametrize("step", ["_write_lines", "_write", "_checksums", "sync_folder", "_move_into_place"])
def test_an_interrupted_writer_leaves_no_trace_and_is_called_again(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    broken: Callable[..., None] = fail
    draft = opened(tmp_path, *(callback(n) for n in range(6)))
    with monkeypatch.context() as patch:
        patch.setattr(writing, step, broken)
        with pytest.raises(OSError, match="No space left"):
            written(tmp_path, draft)
    assert TraceStore(tmp_path).scenario_ids() == ()
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(DRAFT_FILE)] == []
    assert written(tmp_path, draft).lines.count == 6


def test_lines_that_end_early_leave_nothing(tmp_path: Path) -> None:
    def lines() -> Iterator[bytes]:
        yield callback(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_trace(tmp_path / "spring", lines(), described)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def appear(_: WrittenLines) -> None:
        (tmp_path / "spring").mkdir()
        (tmp_path / "spring" / "mine").touch()

    with pytest.raises(BadInput, match="cannot be moved there"):
        written(tmp_path, opened(tmp_path, callback(0)), before_rename=appear)
    assert [path.name for path in (tmp_path / "spring").iterdir()] == ["mine"]


def test_a_replaced_trace_keeps_what_is_no_part_of_it(tmp_path: Path) -> None:
    draft = opened(tmp_path, callback(0), callback(1))
    written(tmp_path, draft)
    (tmp_path / "spring" / ".swap").touch()
    with pytest.raises(BadInput, match="is there already"):
        written(tmp_path, draft)
    written(tmp_path, draft, replace=True)
    assert (tmp_path / "spring" / ".swap").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
