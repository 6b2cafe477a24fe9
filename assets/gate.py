"""This module runs gates alone, against what is published: a job for one of them, since the UI has no button for it.

The comparison is made again, so a margin that was edited counts. Nothing is stored but the result of the check.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    Config,
    Failure,
    JobDefinition,
    OpExecutionContext,
    in_process_executor,
    job,
    op,
)
from pydantic import Field

from assets.jobs import LIMITS
from assets.parity_checks import GatesFailed, results_of
from assets.partitions import ScenarioPartitions
from assets.published import published_report
from assets.specs import REPORT
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.parity.compare import ALL_CHECKS
from resources.cj_engine import CjEngineResource
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource

GATE_JOB, GATE_OP = "parity_gate", "gate"

if TYPE_CHECKING:
    GateChoice: TypeAlias = str
else:
    GateChoice = StrEnum("Gate", {check.name: check.name for check in ALL_CHECKS})


class GateConfig(Config):
    """Which gate is run."""

    gate: GateChoice = Field(
        default=GateChoice("rank_agreement"), description="One check of parity/report; Ctrl+Space lists them."
    )


def gate_job(scenarios: ScenarioPartitions) -> JobDefinition:
    """Declare the job `parity_gate`."""

    @op(name=GATE_OP, description="One gate of a scenario, against its published run.")
    def gate(
        context: OpExecutionContext,
        config: GateConfig,
        trace_store: TraceStoreResource,
        engine: CjEngineResource,
        warehouse: WarehouseResource,
    ) -> None:
        name = context.partition_key
        try:
            report = published_report(name, trace_store, engine, warehouse)
        except CjPipelineError as problem:
            raise Failure(str(problem), allow_retries=False) from None
        (result,) = [one for one in results_of(report) if one.check_name == str(config.gate)]
        severity = result.severity
        context.log_event(
            AssetCheckEvaluation(  # type: ignore[arg-type]  # taken by log_event, and not in its signature
                asset_key=REPORT,
                check_name=str(result.check_name),
                passed=result.passed,
                metadata=result.metadata,
                severity=severity,
                description=result.description,
                blocking=True,
                partition=name,
            )
        )
        if not result.passed and severity is AssetCheckSeverity.ERROR:
            raise GatesFailed(report, [result])

    @job(
        name=GATE_JOB,
        description="One gate alone, against the published run of a scenario: after a margin was edited, say.",
        executor_def=in_process_executor,
        partitions_def=scenarios,
        tags=LIMITS,
    )
    def parity_gate() -> None:
        gate()

    return parity_gate
