"""This module tests the exit codes of Dagster's own commands, as CI calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dagster_floor.floor import LOWER5
from tests.dagster_floor.test_materialise import digests
from tests.house import REPOSITORY

MODULE = ("-m", "cj_pipeline.definitions")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A DAGSTER_HOME with the project's own dagster.yaml."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    return folder


def dagster(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dagster", *arguments]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CJ_PIPELINE_")},
        "DAGSTER_HOME": str(home),
        "CJ_PIPELINE_DATA_DIR": str(home.parent / "data"),
    }
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)


def materialise(home: Path, partition: str, mode: str = "") -> subprocess.CompletedProcess[str]:
    # In one process: a process for each step takes half a minute to start, and the exit code is the same.
    config = {"execution": {"config": {"in_process": {}}}, "resources": {"lps": {"config": {"mode": mode}}}}
    selection = ("--select", "*", "--partition", partition)
    return dagster(home, "asset", "materialize", *selection, *MODULE, "--config-json", json.dumps(config))


@pytest.mark.timeout(600)  # three runs of Dagster's own command, 6 s of CPU each
def test_the_exit_code_is_the_verdict_and_an_unknown_scenario_touches_nothing(home: Path) -> None:
    faithful = materialise(home, LOWER5)
    assert faithful.returncode == 0, faithful.stderr
    assert "PreviewWarning" not in faithful.stderr
    stored = digests(home.parent / "data")
    assert f"published/{LOWER5}.json" in stored

    unknown = materialise(home, "eng5_lower6_gpt51_low_20251202")
    assert unknown.returncode == 1
    assert "eng5_lower6_gpt51_low_20251202" in unknown.stderr
    assert digests(home.parent / "data") == stored

    inverted = materialise(home, LOWER5, "+inverted")
    assert inverted.returncode == 1
    assert "blocking asset checks failed with ERROR severity" in inverted.stderr
    assert (home / "history").is_dir()  # SQLite, where DAGSTER_HOME says
