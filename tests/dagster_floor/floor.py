"""This module runs one scenario through the real code location, in this process."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dagster import AssetCheckEvaluation, AssetKey, DagsterInstance, ExecuteInProcessResult

from assets.specs import ALIGNMENT, REPORT, SUITE
from cj_pipeline.definitions import build_defs
from cj_pipeline.parity.compare import Verdict
from cj_pipeline.warehouse.run_folder import RunFolder
from resources.warehouse import WarehouseResource
from tests.house import REPOSITORY

TRACES = REPOSITORY / "traces"

ROUNDTRIP = "cj_lps_roundtrip_mock_20251205"
ALIGN = "eng5_anchor_align_gpt51_low_20251201"
LADDER = "eng5_anchor_ladder_20251202"
LOWER5 = "eng5_lower5_gpt51_low_20251202"


def execute(
    scenario_id: str,
    data_dir: Path,
    *,
    job: str = "parity_all",
    traces_dir: Path = TRACES,
    instance: DagsterInstance | None = None,
    select: Sequence[AssetKey] | None = None,
    **resources: dict[str, Any],
) -> ExecuteInProcessResult:
    """Run a job on one scenario.

    select: only these assets, with their checks. resources: run configuration by resource key, as the launchpad gives
    it.
    """
    overrides = {"warehouse": WarehouseResource(root=str(data_dir))}
    return (
        build_defs(resource_overrides=overrides, traces_dir=traces_dir)
        .resolve_job_def(job)
        .execute_in_process(
            partition_key=scenario_id,
            instance=instance,
            asset_selection=select,
            raise_on_error=False,
            run_config={
                "resources": {key: {"config": config} for key, config in resources.items()},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
    )


def run_of(result: ExecuteInProcessResult, data_dir: Path, scenario_id: str) -> RunFolder:
    """The folder of what a run made."""
    return RunFolder(data_dir, result.run_id, scenario_id)


def red_checks(result: ExecuteInProcessResult) -> set[str]:
    """`asset: check` of everything that failed.

    Left out are the agreement with grades, whose checks only warn, what is off, and the suite, which repeats the rest.
    """
    return {
        f"{check.asset_key.to_user_string()}: {check.check_name}"
        for check in result.get_asset_check_evaluations()
        if not check.passed and check.asset_key not in (ALIGNMENT, SUITE) and not _is_off(check)
    }


def _is_off(check: AssetCheckEvaluation) -> bool:
    verdict = check.metadata.get("verdict")
    return check.asset_key != REPORT and verdict is not None and verdict.value == Verdict.OFF.value


def materialised(result: ExecuteInProcessResult) -> set[str]:
    """Keys of what was materialised."""
    events = result.get_asset_materialization_events()
    return {event.asset_key.to_user_string() for event in events if event.asset_key is not None}


def copied_trace(scenario_id: str, root: Path) -> Path:
    """A copy of one trace folder that a test may damage."""
    folder = root / scenario_id
    shutil.copytree(TRACES / scenario_id, folder)
    return folder


def metadata(result: ExecuteInProcessResult, asset: str) -> dict[str, object]:
    """The metadata of one materialised asset, as plain values."""
    (event,) = (
        e for e in result.get_asset_materialization_events() if e.asset_key and e.asset_key.to_user_string() == asset
    )
    return {name: value.value for name, value in event.materialization.metadata.items()}
