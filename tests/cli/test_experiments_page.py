"""Every block of docs/experiments.md does what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance, materialize
from dagster._cli import create_dagster_cli

from assets.eng5_experiment import CELLS_JOB, PLAN_JOB, PLAN_OP, experiment_asset
from cj_pipeline.definitions import build_defs
from cj_pipeline.eng5.experiments.grid import AXES, Grid, read_grid
from cj_pipeline.eng5.experiments.paired import MEASURED
from cj_pipeline.eng5.experiments.shown import ASKING_COLUMNS, CELL_COLUMNS
from cj_pipeline.parity.comparison import DRAWS
from cj_pipeline.parity.evidence import SIGNIFICANT
from cj_pipeline.reports.rooms import REPOSITORY
from resources.warehouse import WarehouseResource
from tests.cli.terminal import Terminal

PAGE = (REPOSITORY / "docs" / "experiments.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (\S.*)$", re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
GRID, PLAN = (text for kind, text in BLOCKS if kind == "yaml")
QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}


def test_every_command_of_the_terminal_ends_as_the_page_says(
    cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    Path("grid.yaml").write_text(GRID, encoding="utf-8")
    ran = []
    for line in COMMANDS:
        command, _, remark = line.partition("#")
        program, *arguments = shlex.split(command)
        if program != "cj-pipeline":
            continue
        expected = int(found.group(1)) if (found := re.search(r"exit code (\d+)", remark)) else 0
        answer = cj_pipeline(*arguments)
        assert answer.code == expected, (line, answer.out, answer.err)
        ran.append(arguments[1])
        assert ("OPENAI_API_KEY" in answer.err) == (expected == 2)
        if expected == 0 and "--dry-run" not in arguments:
            for column in (*CELL_COLUMNS, *ASKING_COLUMNS):
                assert column in answer.out
    assert ran == ["experiment", "compare", "experiment", "experiment", "experiment"]
    folders = list((tmp_path / "data" / "eng5" / "experiments").iterdir())
    assert {path.name for path in folders} == {"experiment.mock", "compare.mock", "effort_and_prompt.mock"}
    assert all((folder / f"results.{end}").stat().st_size for folder in folders for end in ("csv", "md", "json"))


def test_the_python_of_the_page_runs_and_its_grid_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Fewer pairs than on the page, which asks 528 comparisons.
    Path("grid.yaml").write_text(f"{GRID}comparisons: 12\n", encoding="utf-8")
    assert read_grid(Path("grid.yaml")).grid.axes.prompt == ("003", "007+006")
    (code,) = (text for kind, text in BLOCKS if kind == "python")
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102
    assert [row["cell"] for row in found["rows"]] == [
        f"provider-openai.model-gpt-5.1.effort-{effort}.prompt-{prompt}"
        for effort in ("none", "low")
        for prompt in ("003", "007+006")
    ]
    assert [row["asked"] for row in found["rows"]] == [12] * 4


def test_the_commands_of_dagster_name_jobs_partition_and_asset(tmp_path: Path) -> None:
    commands = [shlex.split(line) for line in COMMANDS if line.startswith("dagster ")]
    plan, cell, table = commands
    assert (plan[plan.index("-j") + 1], cell[cell.index("-j") + 1]) == (PLAN_JOB, CELLS_JOB)
    for command in commands:
        known: Any = create_dagster_cli()
        options = [word for word in command[1:] if word.startswith("-")]
        for word in command[1 : command.index(options[0])]:
            known = known.commands[word]
        taken = {option for parameter in known.params for option in parameter.opts}
        assert set(options) <= taken, command
    partition = yaml.safe_load(cell[-1])["dagster/partition"]
    config = yaml.safe_load(PLAN)
    warehouse = WarehouseResource(root=str(tmp_path))
    defs = build_defs(resource_overrides={"warehouse": warehouse})
    with DagsterInstance.ephemeral() as instance:
        defs.resolve_job_def(PLAN_JOB).execute_in_process(run_config={**config, "loggers": QUIET}, instance=instance)
        cells = defs.resolve_job_def(CELLS_JOB)
        cells.execute_in_process(run_config={"loggers": QUIET}, partition_key=partition, instance=instance)
        shown = materialize([experiment_asset()], resources={"warehouse": warehouse}, instance=instance)
    (event,) = shown.get_asset_materialization_events()
    assert event.asset_key is not None
    assert event.asset_key.to_user_string() == table[-1]
    assert event.materialization.metadata["asked"].value == 1
    assert set(config["ops"]) == {PLAN_OP}


def test_the_page_names_every_key_and_every_measure() -> None:
    assert [key for key in (*AXES, *Grid.model_fields) if f"`{key}" not in PAGE and f"{key}:" not in PAGE] == []
    words = {name.partition(",")[0] for name in MEASURED.values()}
    assert [word for word in words if word not in PAGE] == []


def test_the_page_counts_right_how_many_tests_can_be_decided() -> None:
    most = max(tests for tests in range(1, 1000) if 2 / (DRAWS + 1) * tests < SIGNIFICANT)
    assert most == 200
    assert f"1/{DRAWS + 1}" in PAGE
    cells = most // (len(MEASURED) - 1)
    assert f"more than {most} tests ({cells} cells)" in PAGE
