"""Processes that outlive their starter: found again, never mistaken for another, ended with all that they started."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from cj_pipeline.local import processes
from cj_pipeline.local.processes import ProcessId
from cj_pipeline.local.programs import CannotStart

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
# A parent that says its child's number, and then sleeps beside it.
PARENT = (
    "import subprocess, sys, time; "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "print(child.pid, flush=True); time.sleep(600)"
)


def started(folder: Path, code: str) -> ProcessId:
    log = folder / "part.log"
    process = processes.start([sys.executable, "-c", code], environment=os.environ, folder=folder, log=log)
    deadline = time.monotonic() + 30
    while not log.read_bytes().endswith(b"\n"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def exists(pid: int) -> bool:
    """Whether a process has that number; a zombie that its new parent has yet to reap has not."""
    return processes._started(pid) is not None


@pytest.mark.parametrize("code", [SLEEPER, DEAF], ids=["listens", "deaf"])
def test_a_process_runs_until_it_is_ended_whether_it_listens_or_not(code: str, tmp_path: Path) -> None:
    process = started(tmp_path, code)
    assert processes.runs(process)
    processes.end(process, which=signal.SIGTERM, grace_s=0.2 if code is DEAF else 30.0)
    assert not processes.runs(process)
    assert not exists(process.pid)
    processes.end(process, which=signal.SIGTERM, grace_s=0.2)  # again: nothing happens


def test_what_it_started_is_ended_with_it(tmp_path: Path) -> None:
    process = started(tmp_path, PARENT)
    child = int((tmp_path / "part.log").read_text())
    assert exists(child)
    processes.end(process, which=signal.SIGKILL, grace_s=0.0)
    assert not processes.runs(process)
    until_gone(child)


def test_so_is_what_one_left_behind_that_was_killed_alone(tmp_path: Path) -> None:
    process = started(tmp_path, PARENT)
    child = int((tmp_path / "part.log").read_text())
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while processes.runs(process):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert exists(child)
    processes.end(process, which=signal.SIGTERM, grace_s=0.0)
    until_gone(child)


def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while exists(pid):
        assert time.monotonic() < deadline, f"{pid} is still there"
        time.sleep(0.01)


def test_another_process_of_the_same_number_is_left_alone(tmp_path: Path) -> None:
    process = started(tmp_path, SLEEPER)
    stale = process.model_copy(update={"started": process.started + "0"})
    assert not processes.runs(stale)
    processes.end(stale, which=signal.SIGKILL, grace_s=0.0)
    assert processes.runs(process)
    processes.end(process, which=signal.SIGKILL, grace_s=0.0)


def test_a_program_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="/no/such/program cannot be run: No such file or directory"):
        processes.start(["/no/such/program"], environment={}, folder=tmp_path, log=tmp_path / "log")
