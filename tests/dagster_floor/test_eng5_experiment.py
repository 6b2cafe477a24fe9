"""This module tests experiments in Dagster: a plan makes partitions, each asks a cell, an asset shows the table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance, ExecuteInProcessResult, Failure, materialize

from assets.eng5_experiment import CELLS, CELLS_JOB, PLAN_JOB, PLAN_OP, experiment_asset
from assets.eng5_experiment_config import ExperimentConfig
from cj_pipeline.cli.eng5_experiment import experiment as command
from cj_pipeline.definitions import build_defs
from cj_pipeline.eng5.experiments.grid import AXES
from resources.warehouse import WarehouseResource
from tests.eng5.nets import small_net
from tests.runs.recording.local_server import serving

QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def executed(
    instance: DagsterInstance, tmp_path: Path, job: str, partition: str | None = None, **config: Any
) -> ExecuteInProcessResult:
    defs = build_defs(resource_overrides={"warehouse": WarehouseResource(root=str(tmp_path))})
    ops = {PLAN_OP: {"config": {"net": str(small_net(tmp_path / "net")), **config}}} if job == PLAN_JOB else {}
    return defs.resolve_job_def(job).execute_in_process(
        run_config={"loggers": QUIET, "ops": ops}, partition_key=partition, instance=instance
    )


def shown_table(instance: DagsterInstance, tmp_path: Path, name: str = "") -> dict[str, Any]:
    result = materialize(
        [experiment_asset()],
        resources={"warehouse": WarehouseResource(root=str(tmp_path))},
        run_config={"loggers": QUIET, "ops": {"eng5_experiment": {"config": {"name": name}}}},
        instance=instance,
    )
    (event,) = result.get_asset_materialization_events()
    return {key: value.value for key, value in event.materialization.metadata.items()}


def test_an_experiment_is_planned_asked_by_partition_and_shown(instance: DagsterInstance, tmp_path: Path) -> None:
    assert shown_table(instance, tmp_path) == {"cells": 0}
    executed(instance, tmp_path, PLAN_JOB, name="tried", effort=["none", "low"], prompt=["plain", "rubric"])
    partitions = sorted(instance.get_dynamic_partitions(str(CELLS.name)))
    assert partitions == [
        f"tried.mock/effort-{effort}.prompt-{prompt}" for effort in ("low", "none") for prompt in ("plain", "rubric")
    ]
    half = shown_table(instance, tmp_path)
    assert (half["cells"], half["asked"], half["complete"]) == (4, 0, False)
    for partition in partitions:
        (event,) = executed(instance, tmp_path, CELLS_JOB, partition).get_asset_materialization_events()
        assert (event.asset_key, event.partition) == (AssetKey(["eng5", "experiment_cell"]), partition)
        assert event.materialization.metadata["answered"].value == 6
    whole = shown_table(instance, tmp_path, "tried.mock")
    assert (whole["asked"], whole["complete"], whole["base"]) == (4, True, "effort=none prompt=plain")
    assert len(whole["differences"].records) == 3 * 10
    assert "Holm (1979) over all 27 tests" in str(whole["report"])
    assert (Path(str(whole["folder"])) / "results.csv").exists()
    # Finished: it asks nothing, and says the same again.
    artefact = event.materialization.metadata["artefact"].value
    written = Path(str(artefact)).stat().st_mtime_ns
    executed(instance, tmp_path, CELLS_JOB, partitions[-1])
    assert Path(str(artefact)).stat().st_mtime_ns == written


def test_a_partition_that_ran_out_of_money_fails_and_is_not_tried_again(
    instance: DagsterInstance, tmp_path: Path
) -> None:
    paid: dict[str, Any] = {
        "name": "tried",
        "judge": "provider",
        "provider": ["openai"],
        "model": ["gpt-4o-mini-2024-07-18"],
        "max_tokens": [100],
    }
    with serving() as server:
        paid["base_url"] = server.url
        with pytest.raises(Failure, match="at its worst") as refused:
            executed(instance, tmp_path, PLAN_JOB, max_usd=1e-6, **paid)
        found = re.search(r"may cost ([\d.e-]+) USD at its worst", str(refused.value))
        assert found
        executed(instance, tmp_path, PLAN_JOB, max_usd=1.05 * float(found.group(1)), **paid)
        (only,) = instance.get_dynamic_partitions(str(CELLS.name))
        with pytest.raises(Failure, match=r"the spend limit was reached\. Run the partition again") as failure:
            executed(instance, tmp_path, CELLS_JOB, only)
        assert not failure.value.allow_retries
        assert 0 < len(server.prompts) < 6
        executed(instance, tmp_path, PLAN_JOB, max_usd=1.0, **paid)
        executed(instance, tmp_path, CELLS_JOB, only)
        assert set(server.asked.values()) == {1}
        assert len(server.prompts) == 6


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "needs axes or cells"),
        ({"effort": ["low"], "judge": "provider"}, "max_usd: is missing"),
        ({"effort": ["low"], "judge": "local"}, "judge: is started by the terminal only"),
        ({"grid_file": "nowhere.yaml"}, r"nowhere\.yaml: no such file"),
        ({"model": ["gpt-9"], "provider": ["openai"]}, "run configuration: model: 'gpt-9' is not a model of openai"),
    ],
)
def test_a_grid_that_cannot_be_used_fails_the_plan_with_one_sentence(
    config: dict[str, Any], words: str, instance: DagsterInstance, tmp_path: Path
) -> None:
    with pytest.raises(Failure, match=words) as failure:
        executed(instance, tmp_path, PLAN_JOB, **config)
    assert not failure.value.allow_retries
    assert instance.get_dynamic_partitions(str(CELLS.name)) == []


def test_a_partition_that_the_grid_lost_says_so(instance: DagsterInstance, tmp_path: Path) -> None:
    executed(instance, tmp_path, PLAN_JOB, name="tried", effort=["none", "low"])
    executed(instance, tmp_path, PLAN_JOB, name="tried", effort=["none"])
    with pytest.raises(Failure, match=r"'effort-low' is no cell of it any more\. Did you mean 'effort-none'"):
        executed(instance, tmp_path, CELLS_JOB, "tried.mock/effort-low")


def test_the_configuration_has_the_axes_of_the_terminal() -> None:
    options = {parameter.name for parameter in command.params}
    assert set(AXES) <= options
    assert set(AXES) <= ExperimentConfig.model_fields.keys()
