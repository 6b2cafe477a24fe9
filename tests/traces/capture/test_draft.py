"""A draft remembers whom it belongs to, is held by one at a time, and becomes a trace in one step."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.capture import publishing
from cj_pipeline.traces.capture.draft import TraceDraft, draft_folder
from cj_pipeline.traces.capture.lane import FigureTooLarge, Lane, LaneFile, lane_path, read_records, read_state
from cj_pipeline.traces.capture.publishing import Findings, NothingTaken, publish
from cj_pipeline.traces.capture.request import Beginning
from cj_pipeline.traces.captured_scenario import ScenarioChoices, TraceFacts, captured_scenario
from cj_pipeline.traces.intake import read_message
from cj_pipeline.traces.provenance import FieldOrigin, FieldProvenance, Provenance, TraceOrigin
from cj_pipeline.traces.scenario import Scenario
from cj_pipeline.traces.store import TraceStore, read_trace
from cj_pipeline.traces.summary import summarise
from cj_pipeline.traces.wire_callback import WireCallback
from tests.contracts.messages import DROP, ERROR_DETAIL
from tests.traces.capture.stand import NOON, callback


def described(findings: Findings) -> tuple[Scenario, str, Provenance]:
    facts = TraceFacts(findings.essays, findings.comparisons, findings.first, findings.started_at, "a test")
    provenance = Provenance(
        scenario_id="spring",
        origin=TraceOrigin.CAPTURED,
        statement="a test",
        sources=("nowhere",),
        generated_by="a test",
        fields={"*": FieldProvenance(origin=FieldOrigin.RECORDED, note="a test")},
    )
    return captured_scenario("spring", facts, ScenarioChoices(), None), "A test.", provenance


def take(lane: Lane, raw: bytes, position: int, timestamp_ms: int = NOON) -> None:
    read = read_message(raw)
    assert isinstance(read, WireCallback)
    lane.take(read, raw, position, timestamp_ms)


def failed(n: int, code: str) -> bytes:
    detail = ERROR_DETAIL | {"error_code": code}
    return callback(n, winner=DROP, justification=DROP, confidence=DROP, error_detail=detail)


def filled(target: Path, messages: list[bytes], lanes: int = 2) -> TraceDraft:
    draft = TraceDraft.open(target, Beginning.ANEW)
    draft.claim({"what": "a test"}, {})
    for position, raw in enumerate(messages):
        take(draft.lane(position % lanes), raw, position // lanes, NOON + position)
    return draft


def published(draft: TraceDraft) -> Findings:
    lanes = {number: draft.lane(number) for number in (0, 1)}
    for lane in lanes.values():
        lane.flush()
    with draft:
        return publish(draft, {number: lane.state for number, lane in lanes.items()}, described)


def test_the_summary_is_that_of_the_callbacks_one_by_one(tmp_path: Path) -> None:
    messages = [callback(n, cost_estimate=n / 7) for n in range(101)]
    messages += [failed(200, "RATE_LIMIT"), failed(201, "TIMEOUT"), failed(202, "RATE_LIMIT")]
    messages += [callback(300, winner="Essay B", token_usage={"prompt_tokens": 2**52})]
    findings = published(filled(tmp_path / "spring", [*messages, *messages[:9]]))
    events = [parse_callback(message) for message in messages]
    assert findings.summary == summarise([event.data for event in events if isinstance(event, CallbackEvent)], "spring")
    assert (findings.taken, findings.duplicates, findings.comparisons) == (105, 9, 105)


def test_a_published_trace_reads_like_any_other(tmp_path: Path) -> None:
    findings = published(filled(tmp_path / "spring", [callback(n) for n in range(40)]))
    trace = read_trace(tmp_path / "spring")
    assert trace.sha256 == findings.sha256
    assert [event.raw for event in trace.callbacks.events] == [callback(n) for n in range(40)]
    assert trace.scenario.engine.max_pairwise_comparisons == 40
    assert not draft_folder(tmp_path / "spring").exists()


def test_the_only_lane_of_a_trace_is_not_written_twice(tmp_path: Path) -> None:
    draft = TraceDraft.open(tmp_path / "spring", Beginning.ANEW)
    draft.claim({"what": "a test"}, {})
    for n in range(20):
        take(draft.lane(0), callback(n), n, NOON + n)
    draft.lane(0).flush()
    inode = lane_path(draft.folder, 0, LaneFile.LINES).stat().st_ino
    findings = published(draft)
    trace = read_trace(tmp_path / "spring")
    assert (tmp_path / "spring" / "llm_callbacks.jsonl").stat().st_ino == inode
    assert (trace.sha256, len(trace.callbacks.events)) == (findings.sha256, 20)


@pytest.mark.parametrize("last", [callback(19, winner="Essay B"), callback(1)])
def test_a_lane_with_a_repetition_or_out_of_order_is_copied(last: bytes, tmp_path: Path) -> None:
    draft = TraceDraft.open(tmp_path / "spring", Beginning.ANEW)
    draft.claim({"what": "a test"}, {})
    for n in range(3):
        take(draft.lane(0), callback(n), n, NOON + n)
    take(draft.lane(0), last, 3, NOON - 1)
    inode = lane_path(draft.folder, 0, LaneFile.LINES).stat().st_ino
    published(draft)
    lines = [event.raw for event in read_trace(tmp_path / "spring").callbacks.events]
    assert lines[0] == last
    assert (tmp_path / "spring" / "llm_callbacks.jsonl").stat().st_ino != inode


def test_a_lane_beyond_its_checkpoint_is_published_up_to_it(tmp_path: Path) -> None:
    with filled(tmp_path / "spring", [callback(0)]) as draft:
        draft.checkpoint()
        take(draft.lane(0), callback(1), 1)
        draft.lane(0).flush()
    again = TraceDraft.open(tmp_path / "spring", Beginning.RESUME)
    states = {number: state for number in (0, 1) if (state := read_state(again.folder, number)) is not None}
    with again:
        publish(again, states, described)
    assert [event.raw for event in read_trace(tmp_path / "spring").callbacks.events] == [callback(0)]


def test_a_draft_that_outlived_its_publishing_cannot_change_the_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = filled(tmp_path / "spring", [callback(0)])
    draft.checkpoint()
    monkeypatch.setattr(TraceDraft, "discard", lambda _: None)
    published(draft)
    (tmp_path / "spring").rename(tmp_path / "elsewhere")
    with TraceDraft.open(tmp_path / "spring", Beginning.RESUME) as resumed:
        take(resumed.lane(0), callback(1), 1)
        resumed.checkpoint()
    lines = tmp_path / "elsewhere" / "llm_callbacks.jsonl"
    assert lines.read_bytes() == callback(0) + b"\n"
    assert lane_path(draft.folder, 0, LaneFile.LINES).read_bytes() == callback(0) + b"\n" + callback(1) + b"\n"


def test_a_callback_with_too_large_a_figure_leaves_nothing_behind(tmp_path: Path) -> None:
    messages = [callback(n, response_time_ms=2**63 if n == 1 else 100 + n) for n in range(3)]
    with filled(tmp_path / "spring", []) as draft:
        lane = draft.lane(0)
        take(lane, messages[0], 0)
        with pytest.raises(FigureTooLarge):
            take(lane, messages[1], 1)
        take(lane, messages[2], 2)
        lane.flush()
        assert (lane.state.taken, lane.state.next) == (2, 3)
        lines = lane_path(draft.folder, 0, LaneFile.LINES).read_bytes()
        assert lines == messages[0] + b"\n" + messages[2] + b"\n"
        assert read_records(draft.folder, 0, lane.state)["length"].tolist() == [len(messages[n]) + 1 for n in (0, 2)]


def test_a_disk_that_was_full_for_a_moment_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(file: BinaryIO, block: bytes) -> None:
        file.write(block[: len(block) // 2])
        fail()

    with filled(tmp_path / "spring", [callback(0)]) as draft:
        with monkeypatch.context() as patch:
            patch.setattr("cj_pipeline.traces.capture.lane._write_all", half)
            with pytest.raises(OSError, match="No space left"):
                draft.lane(0).flush()
        draft.checkpoint()
        assert lane_path(draft.folder, 0, LaneFile.LINES).read_bytes() == callback(0) + b"\n"


def test_line_breaks_between_the_tokens_of_a_message_do_not_break_its_line(tmp_path: Path) -> None:
    published(filled(tmp_path / "spring", [callback(0).replace(b", ", b",\r\n"), callback(1)]))
    assert len(read_trace(tmp_path / "spring").callbacks.events) == 2


def test_an_answer_that_contradicts_an_earlier_one_is_set_aside(tmp_path: Path) -> None:
    findings = published(filled(tmp_path / "spring", [callback(0), callback(0, winner="Essay B"), callback(0)]))
    assert (findings.taken, findings.duplicates, findings.contradictions, findings.quarantined) == (1, 1, 1, 1)
    assert b"another outcome" in (tmp_path / "spring" / "quarantine.jsonl").read_bytes()


def test_lanes_are_cut_back_to_their_checkpoint(tmp_path: Path) -> None:
    draft = filled(tmp_path / "spring", [callback(n) for n in range(10)])
    draft.checkpoint()
    for n in range(10, 20):
        take(draft.lane(0), callback(n), n)
    draft.lane(0).flush()
    draft.close()
    with TraceDraft.open(tmp_path / "spring", Beginning.RESUME) as resumed:
        state = resumed.lane(0).state
        assert (state.next, state.taken) == (5, 5)
        assert (draft_folder(tmp_path / "spring") / "0.index").stat().st_size == 5 * 96


def test_a_draft_is_no_trace(tmp_path: Path) -> None:
    with filled(tmp_path / "spring", [callback(0)]) as draft:
        draft.checkpoint()
        assert TraceStore(tmp_path).scenario_ids() == ()
    state = read_state(draft.folder, 0)
    assert state is not None
    assert state.taken == 1


def test_an_empty_draft_makes_no_trace(tmp_path: Path) -> None:
    with pytest.raises(NothingTaken):
        published(filled(tmp_path / "spring", []))
    assert not (tmp_path / "spring").exists()


def test_a_trace_that_is_there_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "spring").mkdir()
    with pytest.raises(BadInput, match="is there already"):
        TraceDraft.open(tmp_path / "spring", Beginning.ANEW)
    assert [path.name for path in tmp_path.iterdir()] == ["spring"]


def test_an_unfinished_draft_is_not_begun_again_by_accident(tmp_path: Path) -> None:
    filled(tmp_path / "spring", [callback(0)]).close()
    with pytest.raises(BadInput, match="--resume"):
        TraceDraft.open(tmp_path / "spring", Beginning.ANEW)


def test_nothing_is_resumed_where_nothing_was_begun(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no unfinished capture"):
        TraceDraft.open(tmp_path / "spring", Beginning.RESUME)
    assert list(tmp_path.iterdir()) == []


def test_a_draft_of_something_else_is_refused_by_the_name_of_what_differs(tmp_path: Path) -> None:
    filled(tmp_path / "spring", []).close()
    with TraceDraft.open(tmp_path / "spring", Beginning.RESUME) as draft, pytest.raises(BadInput) as refused:
        draft.claim({"what": "something else"}, {})
    assert refused.value.field == "what"


def test_two_captures_of_one_name_do_not_write_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cj_pipeline.traces.capture.draft.LOCK_SECONDS", 0.0)
    with filled(tmp_path / "spring", []), pytest.raises(BadInput, match="another capture is writing"):
        TraceDraft.open(tmp_path / "spring", Beginning.RESUME)


def fail(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("step", ["_write_quarantine", "_sums", "_sync", "_move_into_place"])
def test_an_interrupted_publish_leaves_no_trace_and_is_done_again(
    step: str, lanes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = filled(tmp_path / "spring", [callback(n) for n in range(6)], lanes)
    draft.checkpoint()
    broken: Callable[..., None] = fail
    with monkeypatch.context() as patch:
        patch.setattr(publishing, step, broken)
        with pytest.raises(OSError, match="No space left"):
            published(draft)
    assert not (tmp_path / "spring").exists()
    again = TraceDraft.open(tmp_path / "spring", Beginning.RESUME)
    assert published(again).taken == 6
    assert [path.name for path in tmp_path.iterdir()] == ["spring"]


def test_a_target_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    draft = filled(tmp_path / "spring", [callback(0)])
    (tmp_path / "spring").mkdir()
    (tmp_path / "spring" / "mine").touch()
    with pytest.raises(BadInput, match="cannot be moved there"):
        published(draft)
    assert [path.name for path in (tmp_path / "spring").iterdir()] == ["mine"]


def test_two_answers_to_one_comparison_are_two_callbacks(tmp_path: Path) -> None:
    again = callback(0, request_id="6f0e1c56-52b7-4f10-9d4a-0b3b5e4b8a11")
    findings = published(filled(tmp_path / "spring", [callback(0), again]))
    assert (findings.taken, findings.duplicates, findings.comparisons) == (2, 0, 1)


def test_a_batch_began_with_its_earliest_request(tmp_path: Path) -> None:
    times = ("2025-12-01T08:00:02.000000Z", "2025-12-01T08:00:03.000000Z", "2025-12-01T08:00:01Z")
    findings = published(filled(tmp_path / "spring", [callback(n, requested_at=time) for n, time in enumerate(times)]))
    assert findings.started_at.isoformat() == "2025-12-01T08:00:01+00:00"


def test_who_waited_for_a_draft_that_is_published_meanwhile_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = filled(tmp_path / "spring", [callback(0), callback(1)])

    def finish_meanwhile(lock: IO[str]) -> bool:
        published(first)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return True

    monkeypatch.setattr("cj_pipeline.traces.capture.draft._locked", finish_meanwhile)
    with pytest.raises(BadInput, match="has just published it"):
        TraceDraft.open(tmp_path / "spring", Beginning.RESUME)
    assert not draft_folder(tmp_path / "spring").exists()
