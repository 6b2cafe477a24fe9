"""A redacted copy runs as its original does: the same decisions, the same fit under other names, the same verdicts."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.essays import CannotRename, essays_named, renamed_mode
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.parity.compare import Verdict, compare
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay, run_live
from cj_pipeline.traces.provenance import TraceOrigin
from cj_pipeline.traces.redaction.trace import redact_trace
from cj_pipeline.traces.scenario import SCENARIO_FILE, Profile
from cj_pipeline.traces.store import Trace, read_trace
from cj_pipeline.traces.summary import summarise
from tests import sides
from tests.traces.folders import ANCHORS, GENERIC, LOWER5, SCENARIOS, TRACES, copy_of, edit
from tests.traces.redaction.lines import redaction
from tests.traces.test_recordings import with_second

if TYPE_CHECKING:
    from pathlib import Path


def redacted(scenario_id: str, into: Path) -> Trace:
    """A copy under a mode that names the essays as the copy does."""
    by = redaction()
    source = TRACES / scenario_id
    mode = scenario_mode(sides.scenario(scenario_id), scenario_file=source / SCENARIO_FILE)
    text = renamed_mode(mode, f"{scenario_id}_mode", by.essay) if essays_named(mode) else None
    redact_trace(source, into / scenario_id, by, text)
    return read_trace(into / scenario_id)


def recorded(trace: Trace) -> RunRecord:
    events = [line.event for line in trace.callbacks.events]
    judge = JudgeIdentity(trace.scenario.scenario_id, trace.sha256)
    return replay(
        trace.scenario, events, side=Side.RECORDED, judge=judge, quarantined_lines=len(trace.callbacks.quarantined)
    )


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_the_engine_takes_the_same_decisions_and_finds_the_same_abilities(scenario_id: str, tmp_path: Path) -> None:
    before, after = sides.recorded(scenario_id).document, recorded(redacted(scenario_id, tmp_path)).document
    # The fit adds in the order of the ids, which is another one now: equal but for the last digits.
    fits = [{essay.essay_id: essay for essay in document.fit.essays} for document in (before, after)]
    essay = redaction().essay
    for essay_id, row in fits[0].items():
        same = fits[1][essay(essay_id)]
        assert same.theta == pytest.approx(row.theta, abs=1e-6)
        assert same.standard_error == pytest.approx(row.standard_error, abs=1e-6)
        assert (same.wins, same.losses) == (row.wins, row.losses)
    assert len(fits[0]) == len(fits[1])
    decisions = [
        [(taken.kind, taken.reason, taken.iteration, taken.callbacks) for taken in document.decisions]
        for document in (before, after)
    ]
    assert decisions[0] == decisions[1]
    assert after.coverage == before.coverage
    assert after.fit.quality_flags == before.fit.quality_flags
    assert (after.submitted, after.completed, after.failed) == (before.submitted, before.completed, before.failed)


@pytest.mark.parametrize("scenario_id", [GENERIC, LOWER5, ANCHORS])
def test_parity_gives_the_same_verdicts(scenario_id: str, tmp_path: Path) -> None:
    trace = redacted(scenario_id, tmp_path)
    file = trace.folder / SCENARIO_FILE
    events = [line.event for line in trace.callbacks.events]
    live = run_live(trace.scenario, events, scenario_mode(trace.scenario, scenario_file=file))
    after = compare(trace.scenario, recorded(trace), live, scenario_file=file, cached=sides.session_cache())
    before = sides.report(scenario_id, sides.live(scenario_id))
    verdicts = [{r.check.name: r.verdict for r in one.results} for one in (before, after)]
    assert verdicts[0].pop("justification") is Verdict.PASS
    assert verdicts[1].pop("justification") is Verdict.OFF  # the texts were dropped
    assert verdicts[0] == verdicts[1]
    assert not after.failed


def test_a_wrong_mock_is_still_found(tmp_path: Path) -> None:
    trace = redacted(LOWER5, tmp_path)
    file = trace.folder / SCENARIO_FILE
    mode = scenario_mode(trace.scenario, "+inverted", scenario_file=file)
    live = run_live(trace.scenario, [line.event for line in trace.callbacks.events], mode)
    report = compare(trace.scenario, recorded(trace), live, scenario_file=file, cached=sides.session_cache())
    assert "rank_agreement" in {result.check.name for result in report.failed}


def test_a_copy_is_a_whole_trace_and_says_what_it_is(tmp_path: Path) -> None:
    trace = redacted(LOWER5, tmp_path)
    provenance = trace.provenance
    assert provenance.origin is TraceOrigin.RECONSTRUCTED
    assert "not a recording" in provenance.statement
    assert provenance.redaction is not None
    assert provenance.redaction.key_id == redaction().pseudonyms.key_id
    assert provenance.redaction.dropped == {}
    assert provenance.fields["data.error_detail"].origin == "published"
    summary = summarise([line.event.data for line in trace.callbacks.events], LOWER5)
    assert (trace.folder / "summary.json").read_text(encoding="utf-8") == summary.to_json()
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=trace.folder, capture_output=True, check=False)
    assert done.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOWER5]


def test_the_scenario_keeps_what_was_judged_and_how(tmp_path: Path) -> None:
    before, after = sides.scenario(ANCHORS), redacted(ANCHORS, tmp_path).scenario
    assert after.profile is Profile.ENG5_ANCHOR
    assert (after.engine, after.service, after.live, after.tolerances) == (
        before.engine, before.service, before.live, before.tolerances
    )  # fmt: skip
    assert after.net.grade_scale == before.net.grade_scale
    essay = redaction().essay
    assert {(i.id, i.label, i.grade) for i in after.net.items} == {
        (essay(i.id), i.label, i.grade) for i in before.net.items
    }
    assert all("ANCHOR_" in item.id for item in after.net.items)
    assert after.title == f"{ANCHORS} (redacted)"


def test_pupils_stand_in_no_order_of_names(tmp_path: Path) -> None:
    items = redacted(GENERIC, tmp_path).scenario.net.items
    assert [item.id for item in items] == sorted(item.id for item in items)
    assert [item.label for item in items] == [item.id for item in items]


def test_a_scale_of_words_becomes_one_of_places(tmp_path: Path) -> None:
    folder = copy_of(GENERIC, tmp_path)
    path = folder / SCENARIO_FILE
    edit(path, "  items:  # not graded: the two texts are placeholders\n", "  grade_scale: [good, Anna]\n  items:\n")
    edit(path, "id: essay-a-generic}", "id: essay-a-generic, grade: Anna}")
    redact_trace(folder, tmp_path / "copy", redaction())
    net = read_trace(tmp_path / "copy").scenario.net
    assert net.grade_scale == ("1", "2")
    assert {item.grade for item in net.items} == {"2", None}


def test_lines_that_are_no_callbacks_stay_lines_that_are_none(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    path = folder / "llm_callbacks.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:3], b"Anna was here", b"", lines[2], b'{"event_type": "Anna"}', *lines[3:]]))
    (folder / "SHA256SUMS").write_bytes(subprocess.run(
        ["sha256sum", "llm_callbacks.jsonl", "summary.json", "provenance.json", "published.yaml"],
        cwd=folder, capture_output=True, check=True,
    ).stdout)  # fmt: skip
    made = redact_trace(folder, tmp_path / "copy", redaction())
    assert (made.callbacks, made.unusable) == (10, 3)
    callbacks = read_trace(tmp_path / "copy").callbacks
    assert (len(callbacks.events), len(callbacks.quarantined)) == (10, 3)
    assert b"Anna" not in (tmp_path / "copy" / "llm_callbacks.jsonl").read_bytes()


def test_every_recording_of_a_trace_is_redacted(tmp_path: Path) -> None:
    made = redact_trace(with_second(tmp_path), tmp_path / "copy", redaction())
    trace = read_trace(made.folder)
    # Its name may be a person's.
    assert [recording.name for recording in trace.recordings] == ["main", "recording_2"]
    assert [recording.provenance.redaction is not None for recording in trace.recordings] == [True, True]
    lines = [recording.path.read_bytes().splitlines() for recording in trace.recordings]
    assert lines[1] == lines[0][::-1]
    assert b"student::" not in b"".join(lines[0])


def test_two_redactions_with_one_key_are_one(tmp_path: Path) -> None:
    source = TRACES / LOWER5
    digests = {redact_trace(source, tmp_path / name, redaction()).sha256 for name in ("one", "other")}
    assert len(digests) == 1


def test_a_redacted_trace_is_not_redacted_again(tmp_path: Path) -> None:
    trace = redacted(LOWER5, tmp_path)
    with pytest.raises(BadInput, match=r"provenance\.json: redaction: this trace is redacted already, under the key "):
        redact_trace(trace.folder, tmp_path / "again", redaction())
    assert not (tmp_path / "again").exists()


def test_a_target_that_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(BadInput, match="copy: is there already"):
        redact_trace(TRACES / LOWER5, tmp_path / "copy", redaction())
    assert list((tmp_path / "copy").iterdir()) == []


@pytest.mark.parametrize("name", ["Copy", "copy of Anna"])
def test_a_targets_name_must_be_a_scenarios(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not the name of a scenario"):
        redact_trace(TRACES / LOWER5, tmp_path / name, redaction())
    assert list(tmp_path.iterdir()) == []


def test_an_edited_trace_is_refused(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    edit(folder / "summary.json", '"total_events": 10', '"total_events": 11')
    with pytest.raises(BadInput, match="The file was edited after it was recorded"):
        redact_trace(folder, tmp_path / "copy", redaction())
    assert [path.name for path in tmp_path.iterdir()] == [LOWER5]


def test_an_essay_outside_the_net_is_refused_without_its_name_and_leaves_nothing(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    edit(folder / SCENARIO_FILE, 'id: "student::ANCHOR_ESSAY_ENG_5_EF692795"', "id: Anna")
    with pytest.raises(BadInput, match=r"llm_callbacks\.jsonl:1: .*not in the scenario's net") as raised:
        redact_trace(folder, tmp_path / "copy", redaction())
    assert "EF692795" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == [LOWER5]


def test_a_mode_under_other_names_is_the_same_mode(tmp_path: Path) -> None:
    mode = load_mode("eng5_lower5_gpt51_low+inverted")
    (tmp_path / "mode.yaml").write_text(renamed_mode(mode, "other", str.upper), encoding="utf-8")
    other = load_mode(str(tmp_path / "mode.yaml"))
    assert essays_named(other) == {essay.upper() for essay in essays_named(mode)}
    assert other.winner.invert
    assert (other.latency, other.confidence) == (mode.latency, mode.confidence)
    assert other.tokens.completion == mode.tokens.completion
    assert essays_named(load_mode("cj_generic_batch")) == frozenset()


def test_a_mode_that_replays_a_recording_cannot_be_renamed(tmp_path: Path) -> None:
    content = {
        "schema_version": 1,
        "name": "tape",
        "description": "Replays.",
        "winner": {"model": "replay", "callbacks": str(TRACES / LOWER5 / "llm_callbacks.jsonl")},
        "latency": {"model": "constant", "ms": 0},
        "tokens": {"prompt": {"model": "constant", "tokens": 1}, "completion": {"model": "constant", "tokens": 1}},
        "confidence": {"model": "jitter", "base": 4, "jitter": 0},
    }
    (tmp_path / "tape.yaml").write_text(json.dumps(content), encoding="utf-8")
    mode = load_mode(str(tmp_path / "tape.yaml"))
    assert len(essays_named(mode)) == 5
    with pytest.raises(CannotRename, match="mode 'tape' replays a recording"):
        renamed_mode(mode, "other", str.upper)
