"""This module tests that Dagster's newer commands work in the project's folder, and warn of nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cj_pipeline.definitions import defs
from tests.dagster_floor.floor import LOWER5
from tests.house import REPOSITORY

# Each is a process that starts another one, and both import Dagster.
pytestmark = [pytest.mark.servers("dg"), pytest.mark.timeout(600)]


def dg(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    ours = {name for name in os.environ if name.startswith("CJ_PIPELINE_")} - {"CJ_PIPELINE_CACHE_DIR"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    home = folder / "home"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    environment |= {
        "DAGSTER_HOME": str(home),
        "CJ_PIPELINE_DATA_DIR": str(folder / "data"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [str(Path(sys.executable).with_name("dg")), *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def test_the_code_location_is_valid_and_listed_without_a_warning(tmp_path: Path) -> None:
    checked = dg(tmp_path, "check", "defs")
    assert checked.returncode == 0, checked.stderr
    assert "All definitions loaded successfully." in checked.stdout
    listed = dg(tmp_path, "list", "defs", "--json")
    assert "arning" not in checked.stdout + checked.stderr + listed.stderr
    names = {asset["asset_key"] for asset in json.loads(listed.stdout)["assets"]}
    assert names == {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}


def test_a_red_run_ends_with_the_table_of_its_gates(tmp_path: Path) -> None:
    config = json.dumps({"resources": {"lps": {"config": {"mode": "+inverted"}}}})
    launched = dg(tmp_path, "launch", "--job", "parity_all", "--partition", LOWER5, "--config-json", config)
    assert launched.returncode == 1
    said = launched.stdout + launched.stderr
    end = said[said.index("RUN_FAILURE") :]
    assert f"{LOWER5}: NO PARITY: " in end
    assert "  rank_agreement  " in end
    assert "arning:" not in said
