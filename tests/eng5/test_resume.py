"""This module tests that a run which ends too early keeps what it has, says so, and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from cj_pipeline.eng5.artefact.verify import verify
from cj_pipeline.eng5.asking import Progress
from cj_pipeline.eng5.draft import draft_folder
from cj_pipeline.eng5.options import Judging, RunnerMode
from cj_pipeline.eng5.runner import run
from cj_pipeline.foundation.errors import BadInput
from tests.eng5.nets import options, small_net
from tests.house import REPOSITORY

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.eng5.nets import options
from cj_pipeline.eng5.options import RunnerMode
from cj_pipeline.eng5.runner import run

def die(progress):
    if progress.answered == 3:
        os.kill(os.getpid(), signal.SIGKILL)

run(options(RunnerMode.ANCHOR_ALIGN, Path(sys.argv[1])), on_progress=die)
"""


def log_of(tmp_path: Path, mode: RunnerMode) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "out" / "logs" / f"{mode}.jsonl").read_text().splitlines()]


def test_a_killed_run_goes_on_and_asks_nothing_again(tmp_path: Path) -> None:
    small_net(tmp_path / "net")
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
    assert killed.returncode == -signal.SIGKILL
    notes: list[str] = []
    asked: list[Progress] = []
    outcome = run(options(RunnerMode.ANCHOR_ALIGN, tmp_path), note=notes.append, on_progress=asked.append)
    assert any("3 answered" in note for note in notes)
    assert len(asked) == 3
    assert outcome.answers is not None
    assert len(outcome.answers.events) == 6
    assert verify(outcome.artefact).problems == ()
    assert not draft_folder(tmp_path / "out", RunnerMode.ANCHOR_ALIGN).exists()
    log = [
        json.loads(line) for line in (tmp_path / "out" / "logs" / "anchor-align-test.jsonl").read_text().splitlines()
    ]
    # Both sessions are of one run.
    assert len({line["batch_uuid"] for line in log}) == 1
    assert "runner_resumed" in [line["event"] for line in log]


def test_a_time_out_keeps_partial_results_and_marks_them(tmp_path: Path) -> None:
    # In the mock's own time, of which an answer takes 1.6 s.
    slow = Judging(mock_mode="eng5_anchor_gpt51_low")
    short = options(RunnerMode.EXECUTE, tmp_path, timeout_s=5.0, judging=slow)
    outcome = run(short)
    document = json.loads(outcome.artefact.read_text())
    status = document["validation"]["runner_status"]
    assert (status["partial_data"], status["partial_because"]) == (True, "the time was over")
    assert 0 < len(document["llm_comparisons"]) < status["wanted_comparisons"]
    assert verify(outcome.artefact).problems == ()
    whole = run(replace(short, timeout_s=1800.0))
    assert not whole.partial
    first, then = (json.loads(path.read_text()) for path in (outcome.artefact, whole.artefact))
    assert first["metadata"]["batch_uuid"] == then["metadata"]["batch_uuid"]


def test_a_stopped_run_is_not_continued_with_other_options(tmp_path: Path) -> None:
    stop = Event()
    asked = options(RunnerMode.ANCHOR_ALIGN, tmp_path)
    outcome = run(asked, on_progress=lambda progress: stop.set(), stop=stop)
    assert outcome.partial
    with pytest.raises(BadInput, match=r"max_comparisons: is not what the unfinished run was begun with"):
        run(replace(asked, max_comparisons=4))
    again = run(replace(asked, max_comparisons=4), restart=True)
    assert again.answers is not None
    assert len(again.answers.events) == 4


def test_every_event_of_a_log_carries_the_ids_of_its_run(tmp_path: Path) -> None:
    run(options(RunnerMode.PLAN, tmp_path))
    log = log_of(tmp_path, RunnerMode.PLAN)
    assert [line["event"] for line in log] == [
        "runner_invocation",
        "runner_validation_state",
        "runner_execution_complete",
    ]
    for line in log:
        assert {
            "timestamp",
            "level",
            "service",
            "correlation_id",
            "batch_id",
            "batch_uuid",
            "runner_mode",
        } <= line.keys()
