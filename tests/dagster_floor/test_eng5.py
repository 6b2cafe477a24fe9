"""This module tests the jobs of the ENG5 runner: configuration in, artefact and report out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from dagster import DagsterInstance, ExecuteInProcessResult, Failure

from assets.eng5 import eng5_job_name, op_name
from assets.eng5_config import Eng5Config
from cj_pipeline.cli.eng5_options import options_of, runner_options
from cj_pipeline.definitions import build_defs
from cj_pipeline.eng5.artefact.verify import verify
from cj_pipeline.eng5.options import RunnerMode
from resources.warehouse import WarehouseResource
from tests.eng5.nets import small_net

QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}


def executed(mode: RunnerMode, tmp_path: Path, **config: Any) -> ExecuteInProcessResult:
    defs = build_defs(resource_overrides={"warehouse": WarehouseResource(root=str(tmp_path))})
    given = {"net": str(small_net(tmp_path / "net")), "mock_mode": "default", **config}
    with DagsterInstance.ephemeral() as instance:
        return defs.resolve_job_def(eng5_job_name(mode)).execute_in_process(
            run_config={"ops": {op_name(mode): {"config": given}}, "loggers": QUIET}, instance=instance
        )


@pytest.mark.parametrize("mode", RunnerMode)
def test_each_mode_has_a_job_that_writes_its_artefact(mode: RunnerMode, tmp_path: Path) -> None:
    result = executed(mode, tmp_path, repetitions=1)
    (event,) = result.get_asset_materialization_events()
    assert (event.asset_key and event.asset_key.to_user_string(), event.partition) == ("eng5/run", mode.value)
    shown = {name: value.value for name, value in event.materialization.metadata.items()}
    assert verify(Path(str(shown["artefact"]))).problems == ()
    assert shown["money"] == ("none was spent: a mock answered" if mode.asks else "nobody was asked")
    assert ("worked off as per_request" if mode.asks else "nobody was asked") in str(shown["batching"])
    assert str(shown["overrides"]).startswith("Overrides: provider anthropic")
    assert ("report" in shown) == mode.anchors_only
    assert ("ladder" in shown) == (mode is RunnerMode.ANCHOR_ALIGN)


@pytest.mark.parametrize(
    ("mode", "config", "words"),
    [
        (RunnerMode.EXECUTE, {"judge": "provider"}, "budget_usd: is missing"),
        (RunnerMode.EXECUTE, {"assignment_id": "x"}, "assignment_id: is no UUID"),
        (RunnerMode.BOUNDARY, {"kafka": "nowhere:1"}, "chooses its own pairs"),
        (RunnerMode.BOUNDARY, {"pairs": ["a"]}, "Write NAME:NAME"),
        (RunnerMode.PLAN, {"max_comparisons": 1}, "1 is fewer than two"),
    ],
)
def test_a_field_that_cannot_be_used_fails_the_run_with_one_sentence(
    mode: RunnerMode, config: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(Failure, match=words) as failure:
        executed(mode, tmp_path, **config)
    assert not failure.value.allow_retries


def test_the_configuration_has_the_defaults_of_the_terminal(tmp_path: Path) -> None:
    command = click.command()(runner_options(lambda: None))
    given = command.make_context("execute", []).params
    terminal = options_of("execute", given | {"output_dir": tmp_path / "eng5", "await_completion": True})
    assert Eng5Config().options(RunnerMode.EXECUTE, tmp_path) == terminal
