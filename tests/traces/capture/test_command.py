"""`cj-pipeline traces capture`, as a person meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cj_pipeline.cli.capture import capture_command
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay, run_live
from cj_pipeline.traces.capture.draft import draft_folder
from cj_pipeline.traces.draft import DRAFT_FILE
from cj_pipeline.traces.scenario import SCENARIO_FILE
from cj_pipeline.traces.store import read_trace
from tests.house import REPOSITORY
from tests.kafka import create_topic, fresh_topic
from tests.traces.capture.topics import BATCH, Record, callback, produce, records


@pytest.fixture
def topic(kafka: str) -> str:
    name = fresh_topic("command")
    create_topic(kafka, name, 2)
    produce(kafka, name, records(40, 2))
    return name


def run(kafka: str, topic: str, tmp_path: Path, *more: object, name: str = "autumn") -> Result:
    options = [name, "--bos-batch-id", BATCH, "--topic", topic, "--kafka", kafka, "--output-dir", tmp_path]
    return CliRunner().invoke(capture_command, [str(part) for part in (*options, "--key", tmp_path / "key", *more)])


def test_a_whole_capture_exits_with_0_and_tells_its_counts(kafka: str, topic: str, tmp_path: Path) -> None:
    answer = run(kafka, topic, tmp_path, "--json")
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert (told["read"], told["counts"]["taken"], told["partial"]) == (40, 40, False)
    assert told["sha256"] == read_trace(tmp_path / "autumn").sha256


def test_a_partial_capture_exits_with_3_and_says_what_is_missing(kafka: str, topic: str, tmp_path: Path) -> None:
    answer = run(kafka, topic, tmp_path, "--expected-count", 41, "--idle-seconds", 0.3)
    assert answer.exit_code == 3
    assert "Partial: 41 callbacks were expected and 40 were found (idle)." in answer.stdout


def test_a_captured_trace_is_replayed_and_run_live_right_away(kafka: str, topic: str, tmp_path: Path) -> None:
    run(kafka, topic, tmp_path)
    trace = read_trace(tmp_path / "autumn")
    events = [recorded.event for recorded in trace.callbacks.events]
    recorded = replay(trace.scenario, events, side=Side.RECORDED, judge=JudgeIdentity("autumn", trace.sha256))
    assert len(recorded.callbacks) == 40
    assert len(recorded.document.fit.essays) == 8
    live = run_live(trace.scenario, events, scenario_mode(trace.scenario, scenario_file=trace.folder / SCENARIO_FILE))
    assert len(live.callbacks) == 40


def test_grades_come_from_a_file_by_the_essays_own_names(kafka: str, topic: str, tmp_path: Path) -> None:
    grades = tmp_path / "grades.csv"
    grades.write_text("essay_id,grade,label\npupil 1,B,Anna\npupil 2,C+,Bo\n")
    assert run(kafka, topic, tmp_path, "--grades", grades).exit_code == 0
    scenario = read_trace(tmp_path / "autumn").scenario
    assert scenario.net.grade_scale == ("B", "C+")
    assert sorted(item.grade for item in scenario.net.items if item.grade) == ["B", "C+"]
    assert not any(item.label in ("Anna", "Bo") for item in scenario.net.items)


def test_a_wrong_grade_is_refused_before_anything_is_captured(kafka: str, topic: str, tmp_path: Path) -> None:
    grades = tmp_path / "grades.csv"
    grades.write_text("essay_id,grade\npupil 1,Z\n")
    answer = run(kafka, topic, tmp_path, "--grades", grades)
    assert isinstance(answer.exception, BadInput)
    assert (answer.exception.line, answer.exception.field) == (2, "grade")
    assert "pupil" not in str(answer.exception)
    assert not (tmp_path / "autumn").exists()


def test_a_scenario_like_another_takes_over_its_net_under_pseudonyms(kafka: str, topic: str, tmp_path: Path) -> None:
    assert run(kafka, topic, tmp_path, "--no-redact", name="spring").exit_code == 0
    path = tmp_path / "spring" / "scenario.yaml"
    path.write_text(path.read_text().replace("bt_alpha: 0.01", "bt_alpha: 0.02"))
    # The mode of `spring` is fitted to essays by their names, which a redacted trace does not have.
    answer = run(kafka, topic, tmp_path, "--like", tmp_path / "spring", "--mode", "default")
    assert answer.exit_code == 0, answer.exception
    like, scenario = read_trace(tmp_path / "spring").scenario, read_trace(tmp_path / "autumn").scenario
    assert scenario.engine == like.engine
    assert scenario.engine.bt_alpha == 0.02
    assert {item.id for item in like.net.items} == {f"pupil {n}" for n in range(8)}
    assert all(item.id.startswith("essay-") for item in scenario.net.items)


def test_a_like_scenario_of_other_essays_keeps_the_draft_for_another_try(
    kafka: str, topic: str, tmp_path: Path
) -> None:
    like = REPOSITORY / "traces" / "cj_lps_roundtrip_mock_20251205"
    answer = run(kafka, topic, tmp_path, "--like", like)
    assert isinstance(answer.exception, BadInput)
    assert "does not know 8 of the 8 essays" in str(answer.exception)
    assert run(kafka, topic, tmp_path, "--finish").exit_code == 0
    assert len(read_trace(tmp_path / "autumn").callbacks.events) == 40


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_draft_and_says_how_to_go_on(
    sent: signal.Signals, kafka: str, topic: str, tmp_path: Path
) -> None:
    command = "from cj_pipeline.cli.capture import capture_command; capture_command()"
    options = ["autumn", "--bos-batch-id", BATCH, "--topic", topic, "--kafka", kafka, "--output-dir", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", command, *options, "--key", str(tmp_path / "key"), "--follow"],
        cwd=REPOSITORY,
        env=os.environ.copy(),
        stderr=subprocess.PIPE,
        text=True,
    ) as following:
        # Held by the capture; what is committed lies in the log beside it.
        committed = draft_folder(tmp_path / "autumn") / f"{DRAFT_FILE}-wal"
        last = str(keyed_uuid("correlation", 39, BATCH)).encode()
        while not committed.exists() or last not in committed.read_bytes():
            assert following.poll() is None, following.stderr and following.stderr.read()
            time.sleep(0.05)
        following.send_signal(sent)
        _, told = following.communicate(timeout=30)
    assert following.returncode == 3
    assert "holds 40 callbacks. Go on with --resume, or publish them with --finish." in " ".join(told.split())
    produce(kafka, topic, [Record(callback(40))])
    # The end is that of the beginning: what came later is another capture's.
    answer = run(kafka, topic, tmp_path, "--resume", "--json")
    assert answer.exit_code == 0, answer.exception
    assert json.loads(answer.stdout)["counts"]["taken"] == 40


def test_a_cluster_must_be_named(topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    answer = CliRunner().invoke(
        capture_command, ["autumn", "--bos-batch-id", BATCH, "--key", str(tmp_path / "key"), "--output-dir", "x"]
    )
    assert isinstance(answer.exception, CjPipelineError)
    assert "KAFKA_BOOTSTRAP_SERVERS" in str(answer.exception)
