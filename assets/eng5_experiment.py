"""This module holds the experiments of the ENG5 runner: a job that plans one, a job with a partition for each cell, and
the asset `eng5/experiment` with the table.

Planning writes the grid down and adds a partition for each cell. Cells of a backfill may run at the same time: they
spend from one limit, and a cell that was interrupted goes on when its partition is run again.
"""

from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetsDefinition,
    DynamicPartitionsDefinition,
    Failure,
    JobDefinition,
    MaterializeResult,
    MetadataValue,
    OpExecutionContext,
    in_process_executor,
    job,
    multi_asset,
    op,
)

from assets.eng5 import log_now_and_then
from assets.eng5_experiment_config import EXAMPLE, ExperimentConfig, TableConfig
from assets.specs import EXPERIMENT, Group, asset_spec, table
from cj_pipeline.eng5.asking import OUT_OF_MONEY
from cj_pipeline.eng5.experiments.experiment import (
    Experiment,
    experiment_of,
    experiments_folder,
    kept_experiment,
    newest_name,
)
from cj_pipeline.eng5.experiments.paired import MEASURED, Finding
from cj_pipeline.eng5.experiments.plan import CellPlan, plan_of
from cj_pipeline.eng5.experiments.run import ask_cells
from cj_pipeline.eng5.experiments.shown import as_markdown, write_results
from cj_pipeline.eng5.experiments.table import Results, cell_rows, results_of
from cj_pipeline.foundation.errors import BadInput, CjPipelineError, did_you_mean
from resources.warehouse import WarehouseResource

PLAN_JOB, CELLS_JOB = "eng5_experiment_plan", "eng5_experiment_cells"
PLAN_OP = "experiment_plan"
CELL = AssetKey(["eng5", "experiment_cell"])

CELLS = DynamicPartitionsDefinition(name="eng5_experiment_cells")
"""A partition for each cell of each experiment that was planned: FOLDER/CELL."""


def partition_of(experiment: Experiment, cell_name: str) -> str:
    """Return the partition of a cell."""
    return f"{experiment.folder.name}/{cell_name}"


def plan_job() -> JobDefinition:
    """Declare the job that plans an experiment: price and time in its log, a partition for each cell."""

    @op(name=PLAN_OP, description="From a grid to the partitions of its cells, with price and time.")
    def plan_op(context: OpExecutionContext, config: ExperimentConfig, warehouse: WarehouseResource) -> None:
        try:
            experiment = experiment_of(config.source(), experiments_folder(Path(warehouse.root)))
            plans = plan_of(experiment)
        except CjPipelineError as problem:
            raise Failure(str(problem), allow_retries=False) from None
        experiment.keep()
        context.instance.add_dynamic_partitions(
            str(CELLS.name), [partition_of(experiment, plan.cell.name) for plan in plans]
        )
        for plan in plans:
            price = "unknown" if plan.most_usd is None else f"{plan.most_usd:.3f} USD at most"
            context.log.info(f"{plan.cell.name}: {plan.left} comparisons to be asked; price {price}")
        context.log.info(f"the partitions of {CELLS_JOB} that begin with {experiment.folder.name}/ ask them")

    @job(
        name=PLAN_JOB,
        description="Plans an experiment: configurations of a judge, asked the same pairs (docs/experiments.md).",
        executor_def=in_process_executor,
        config={"ops": {PLAN_OP: {"config": EXAMPLE}}},
    )
    def plan_experiment() -> None:
        plan_op()

    return plan_experiment


def cells_job() -> JobDefinition:
    """Declare the job that asks one cell, its partition."""

    @op(name="experiment_cell", description="Asks one configuration; goes on where it was interrupted.")
    def cell_op(context: OpExecutionContext, warehouse: WarehouseResource) -> None:
        name, _, cell_name = context.partition_key.partition("/")
        try:
            experiment = kept_experiment(name, experiments_folder(Path(warehouse.root)))
            plan = _planned(experiment, cell_name)
            log = log_now_and_then(context)
            (outcome,) = ask_cells(experiment, (plan,), on_cell=lambda _: log, note=context.log.info)
        except CjPipelineError as problem:
            raise Failure(str(problem), allow_retries=not isinstance(problem, BadInput)) from None
        if outcome.unfinished is not None:
            # A judge that is away may be back; an empty purse stays so.
            why = f"{outcome.unfinished}. Run the partition again to go on."
            raise Failure(why, allow_retries=outcome.unfinished != OUT_OF_MONEY)
        results = results_of(experiment)
        (row,) = [row for row in cell_rows(results) if row["cell"] == plan.cell.name]
        context.log_event(
            AssetMaterialization(
                CELL,
                partition=context.partition_key,
                description="One configuration of an experiment.",
                metadata={
                    "artefact": MetadataValue.path(experiment.artefact(plan.cell)),
                    **{key: value for key, value in row.items() if isinstance(value, int | float | str)},
                },
            )
        )

    @job(
        name=CELLS_JOB,
        description="Asks the cells of planned experiments, one a partition. Keys come from the environment.",
        executor_def=in_process_executor,
        partitions_def=CELLS,
    )
    def ask_experiment_cells() -> None:
        cell_op()

    return ask_experiment_cells


def experiment_asset() -> AssetsDefinition:
    """Declare `eng5/experiment`, the table of one experiment as far as its cells have answered."""
    spec = asset_spec(
        EXPERIMENT,
        "What each cell of an experiment is like, and its differences from the base with p-values adjusted together. "
        "Of the experiment that was planned last, unless the configuration names one.",
        computed_by="agreement",
        reads=[],
        group=Group.ENG5,
    )

    @multi_asset(name="eng5_experiment", specs=[spec])
    def experiment_table(
        context: AssetExecutionContext, config: TableConfig, warehouse: WarehouseResource
    ) -> MaterializeResult[None]:
        folder = experiments_folder(Path(warehouse.root))
        name = config.name or newest_name(folder)
        if name is None:
            context.log.info(f"no experiment was planned; the job {PLAN_JOB} does")
            return MaterializeResult(asset_key=EXPERIMENT, metadata={"cells": 0})
        try:
            results = results_of(kept_experiment(name, folder))
        except CjPipelineError as problem:
            raise Failure(str(problem), allow_retries=False) from None
        write_results(results)
        return MaterializeResult(asset_key=EXPERIMENT, metadata=_shown(results))

    return experiment_table


def _planned(experiment: Experiment, cell_name: str) -> CellPlan:
    known = {cell.name: cell for cell in experiment.cells}
    if cell_name not in known:
        raise BadInput(
            f"'{cell_name}' is no cell of it any more.", path=experiment.folder, remedy=did_you_mean(cell_name, known)
        )
    return plan_of(experiment, cells=(known[cell_name],))[0]


def _shown(results: Results) -> dict[str, Any]:
    pairings = () if results.table is None else results.table.pairings
    found = [(pairing.cell.cell.label, one) for pairing in pairings for one in pairing.differences]
    return {
        "experiment": results.experiment.folder.name,
        "cells": len(results.experiment.cells),
        "asked": len(results.measured),
        "complete": results.complete,
        "base": results.experiment.base.label,
        "tests": 0 if results.table is None else results.table.tests,
        "different": sum(one.finding is Finding.DIFFERENT for _, one in found),
        "differences": table(
            {
                "cell": label,
                "measure": MEASURED[one.measure],
                "base": one.base,
                "this cell": one.value,
                "difference": one.difference,
                "low": one.low,
                "high": one.high,
                "p": "" if one.p_adjusted is None else f"{one.p_adjusted:.3g}",
                "finding": one.finding.value,
            }
            for label, one in found
        ),
        "report": MetadataValue.md(as_markdown(results)),
        "folder": MetadataValue.path(results.experiment.folder),
    }
