"""This module tests the exit codes of Dagster's own commands, as CI calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dagster_floor.floor import LOWER5
from tests.house import REPOSITORY

UNKNOWN = "eng5_lower6_gpt51_low_20251202"

# Each command is a process of its own that has the imports behind it: they are most of what a command costs.
COMMANDS = """
import json, os, sys
import cj_pipeline.definitions
from dagster._cli import main

folder, *commands = sys.argv[1:]
for number, command in enumerate(commands):
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(f"{folder}/{number}.err", os.O_CREAT | os.O_WRONLY), 2)
        sys.argv = ["dagster", *json.loads(command)]
        main()
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), os.path.exists(f"{folder}/data"), flush=True)
"""


def materialise(partition: str, mode: str = "") -> str:
    config = {"resources": {"lps": {"config": {"mode": mode}}}}
    # Everything but the gauntlet, which takes longer than the rest together.
    selection = ("--select", 'not key:"parity/gauntlet"', "--partition", partition)
    return json.dumps(
        ("asset", "materialize", *selection, "-m", "cj_pipeline.definitions", "--config-json", json.dumps(config))
    )


@pytest.mark.timeout(600)  # three runs of Dagster's own command, 3 s of CPU each
def test_the_exit_code_is_the_verdict_and_an_unknown_scenario_touches_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    ours = {name for name in os.environ if name.startswith("CJ_PIPELINE_")} - {"CJ_PIPELINE_CACHE_DIR"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"DAGSTER_HOME": str(home), "CJ_PIPELINE_DATA_DIR": str(tmp_path / "data")}
    commands = materialise(UNKNOWN), materialise(LOWER5), materialise(LOWER5, "+inverted")
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, tmp_path, *commands],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    (unknown, touched), (faithful, _), (inverted, _) = (line.split() for line in done.stdout.splitlines()[-3:])
    said = [(tmp_path / f"{number}.err").read_text() for number in range(3)]
    assert (unknown, touched) == ("1", "False")
    assert UNKNOWN in said[0]
    assert faithful == "0", said[1]
    assert (tmp_path / f"data/published/{LOWER5}.json").is_file()
    assert "PreviewWarning" not in done.stderr + said[1]
    assert inverted == "1"
    assert f"GatesFailed: {LOWER5}: NO PARITY: " in said[2]
    assert (home / "history").is_dir()  # SQLite, where DAGSTER_HOME says
