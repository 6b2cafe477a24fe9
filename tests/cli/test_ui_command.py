"""`cj-pipeline ui`: what it refuses, and that a SIGTERM ends everything that it started."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cj_pipeline.local.ports import free_port, listens
from tests.cli.terminal import Terminal
from tests.house import REPOSITORY


def test_it_needs_the_two_files_of_the_project(
    cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = cj_pipeline("ui")
    assert answer.code == 2
    assert "dagster.yaml: is not here. Run this from the project's folder." in answer.err


def test_a_port_that_is_in_use_is_named_at_once(cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = cj_pipeline("ui", "--port", port)
    assert answer.code == 2
    assert f"Port {port} is in use." in answer.err


COMMAND = "from cj_pipeline.cli.main import main; main()"


@pytest.mark.servers("services")
@pytest.mark.timeout(900)  # six processes that import Dagster: half a minute alone, minutes beside twenty others
def test_a_sigterm_ends_the_ui_and_all_that_it_started(tmp_path: Path) -> None:
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "CJ_PIPELINE_TRACES_DIR": str(tmp_path / "traces")}
    environment |= {"DAGSTER_HOME": str(tmp_path / "home"), "CJ_PIPELINE_DATA_DIR": str(tmp_path / "data")}
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "ui", "--port", str(port)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        # As a script starts it in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline().startswith(f"Dagster is on http://127.0.0.1:{port};")
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopped\n"
    assert process.returncode == 0
    assert not listens(port)
    log = (tmp_path / "home/ui.log").read_text(encoding="utf-8")
    assert "Shutting down" in log  # and was not killed, once it had been waited for
    assert "Warning" not in log
    assert "dagster.yaml" not in log  # no complaint of another one
