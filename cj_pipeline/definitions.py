"""This module is Dagster's code location: assets, checks, jobs, schedules and resources, put together.

Loading it reads no file and asks no server. Every door (UI, asset page, backfill, command line) runs a scenario in one
process unless the run's configuration asks for more: assets/executor.py.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, Definitions, ExecuteInProcessResult, PreviewWarning

from assets.alignment import alignment_asset
from assets.calibrate import calibration_asset
from assets.capture import capture_job
from assets.catalogue import catalogue_asset
from assets.code_references import with_code_references
from assets.edits import edits_sensor
from assets.eng5 import eng5_jobs
from assets.eng5_experiment import cells_job, experiment_asset, plan_job
from assets.executor import in_process_unless_asked
from assets.gate import gate_job
from assets.gauntlet import gauntlet_asset
from assets.history import history_asset
from assets.jobs import ALL_JOB, parity_jobs
from assets.kafka_topic import hourly_observation, kafka_topic, observe_kafka
from assets.mode import mode_asset
from assets.night import night_tags, night_watch, nightly_schedule
from assets.outcome import Events, outcome_of
from assets.parity import PARITY_OP, parity_asset
from assets.parity_checks import parity_checks
from assets.partitions import ScenarioPartitions
from assets.record import record_job
from assets.retention import retention_job, retention_schedule
from assets.sensors import new_traces_sensor
from assets.sides import quarantine_check, side_assets
from assets.specs import CHECKS
from assets.suite import suite_asset
from assets.suite_upkeep import suite_job, suite_sensor
from assets.trace import checksums_check, complete_check, trace_asset
from cj_pipeline.alerts.night import Outcome
from cj_pipeline.foundation.secret_files import read_secret_files
from cj_pipeline.foundation.settings import PipelineSettings
from cj_pipeline.process_runs import keep_watching
from cj_pipeline.runs.record import Side
from cj_pipeline.traces.store import TraceStore
from cj_pipeline.warehouse.data_root import data_root
from cj_pipeline.warehouse.run_folder import RunFolder
from resources.bus import BusResource
from resources.cj_engine import CjEngineResource
from resources.kafka import KafkaResource
from resources.lps import LpsResource
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource


def build_defs(
    *, resource_overrides: Mapping[str, object] | None = None, traces_dir: Path | None = None
) -> Definitions:
    """Return the code location over one folder of traces.

    resource_overrides: by key (`trace_store`, `bus`, `kafka`, `lps`, `engine`, `warehouse`), instead of the resource
    made of PipelineSettings; traces_dir: instead of theirs. Folders are made absolute, since runs may start elsewhere.
    """
    settings = PipelineSettings()
    traces = (traces_dir or settings.traces_dir).absolute()
    bus = BusResource()
    scenarios = ScenarioPartitions(traces)
    assets = [
        trace_asset(scenarios),
        mode_asset(scenarios),
        *(asset for side in Side for asset in side_assets(side, scenarios)),
        parity_asset(scenarios),
        gauntlet_asset(scenarios),
    ]
    with warnings.catch_warnings():
        # Checks with partitions are a preview of Dagster 1.13; its warning does not help a user of the command line.
        warnings.simplefilter("ignore", PreviewWarning)
        assets += [suite_asset(scenarios), alignment_asset(scenarios), calibration_asset(scenarios)]
        history = history_asset(scenarios)
        checks = [
            checksums_check(scenarios),
            complete_check(scenarios),
            quarantine_check(scenarios),
            parity_checks(scenarios),
        ]
    return Definitions(
        assets=with_code_references(
            [
                *assets,
                catalogue_asset([spec for asset in assets for spec in asset.specs], scenarios),
                history,
                kafka_topic(),
                experiment_asset(),
            ],
            settings.code_url,
        ),
        asset_checks=checks,
        executor=in_process_unless_asked,
        jobs=[
            *parity_jobs(),
            gate_job(scenarios),
            suite_job(),
            capture_job(),
            record_job(),
            *eng5_jobs(),
            plan_job(),
            cells_job(),
            observe_kafka,
            retention_job(settings.data_address),
        ],
        schedules=[nightly_schedule(scenarios), hourly_observation(), retention_schedule()],
        sensors=[
            new_traces_sensor(scenarios),
            edits_sensor(scenarios),
            suite_sensor(scenarios),
            night_watch(scenarios, settings.data_dir.absolute(), settings.data_address),
        ],
        resources={
            "trace_store": TraceStoreResource(root=str(traces)),
            "bus": bus,
            "kafka": KafkaResource(),
            "lps": LpsResource(bus=bus),
            "engine": CjEngineResource(),
            "warehouse": WarehouseResource(root=settings.data_address),
            **(resource_overrides or {}),
        },
    )


NONE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Materialised:
    """One scenario after all its assets were asked for.

    run: the folder of what it made; compared: whether it got as far as a parity report; events: what broke off, and
    which checks failed; outcome: what a message about the night says of it.
    """

    scenario_id: str
    run: RunFolder
    success: bool
    compared: bool
    events: Events
    outcome: Outcome

    @property
    def failed_checks(self) -> dict[str, str]:
        """Description by `asset: check` of each check that failed."""
        return self.events.failed_checks

    @property
    def stopping_checks(self) -> tuple[str, ...]:
        """Those of them that stop a run, by name."""
        return tuple(sorted(self.events.blocking))

    @property
    def problems(self) -> tuple[str, ...]:
        """`step: error` of each step that broke off."""
        return self.events.causes

    @property
    def defects(self) -> bool:
        """Whether one of them is a defect of ours."""
        return self.events.defects


def materialise(
    scenario_ids: Iterable[str],
    *,
    mode: str | None = None,
    seed: int | None = None,
    night: date | None = None,
    realtime: bool = False,
    strict: bool = False,
    deployed: Mapping[str, str] = NONE,
    data_dir: Path | None = None,
    traces_dir: Path | None = None,
    instance: DagsterInstance | None = None,
) -> Iterator[Materialised]:
    """Materialise and check every asset of some scenarios in this process, and yield each result as it ends.

    mode, seed, realtime: of the live side, see LpsResource; night: whose date is the mock's seed, and whose tag each
    run has; strict: see ParityConfig; deployed: URL of the LPS that is asked for a scenario, where it is not the
    embedded one; the folders default to PipelineSettings. instance: where runs and events are
    kept, as the UI shows them; without one they are forgotten. Dagster's own log is kept off the terminal.
    Raises BadInput when there is no such scenario, before anything is materialised.
    """
    settings = PipelineSettings()
    traces = traces_dir or settings.traces_dir
    wanted = tuple(scenario_ids)
    for scenario_id in wanted:
        TraceStore(traces).scenario(scenario_id)
    data = data_root(settings.data_address if data_dir is None else str(data_dir.absolute()))
    lps: dict[str, Any] = {"mode": mode or "", "night": night.isoformat() if night else "", "realtime": realtime}
    lps |= {} if seed is None else {"seed": seed}
    overrides = {"lps": LpsResource(bus=BusResource(), **lps), "warehouse": WarehouseResource(root=str(data))}
    job = build_defs(resource_overrides=overrides, traces_dir=traces).resolve_job_def(ALL_JOB)
    with nullcontext(instance) if instance is not None else DagsterInstance.ephemeral() as kept:
        for scenario_id in wanted:
            result = job.execute_in_process(
                run_config={
                    **QUIET,
                    "ops": {PARITY_OP: {"config": {"strict": strict}}},
                    # It takes the place of the resource's own, whole.
                    **(
                        {"resources": {"lps": {"config": {**lps, "url": url}}}}
                        if (url := deployed.get(scenario_id))
                        else {}
                    ),
                },
                partition_key=scenario_id,
                instance=kept,
                raise_on_error=False,
                tags=None if night is None else dict(night_tags(night)),
            )
            yield _materialised(RunFolder(data, result.run_id, scenario_id), result)


QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _materialised(run: RunFolder, result: ExecuteInProcessResult) -> Materialised:
    events = Events.of(result.all_events)
    return Materialised(
        scenario_id=run.scenario_id,
        run=run,
        success=result.success,
        compared=any(event.asset_key == CHECKS for event in result.get_asset_materialization_events()),
        events=events,
        outcome=outcome_of(run, events, succeeded=result.success),
    )


# Before a sensor or a resource of this process looks for a password.
read_secret_files(os.environ)
keep_watching()

defs = build_defs()
