"""This module holds the job `capture_callbacks`, which captures a batch from Kafka.

A job and not an asset: an asset that needs a configuration and a cluster would be part of `--select '*'`, and neither
CI nor the nightly run has either. What the job makes is a partition of `trace`, and it says so: as a materialisation of
that partition with the digest of the callbacks for data version, and with the verdict of the check `trace: complete`.
"""

from pathlib import Path
from time import monotonic

from dagster import (
    AssetCheckEvaluation,
    AssetMaterialization,
    Failure,
    JobDefinition,
    OpExecutionContext,
    in_process_executor,
    job,
    op,
)

from assets.capture_config import EXAMPLE, CaptureConfig
from assets.specs import TRACE
from assets.trace import COMPLETE, completeness, recording_metadata, trace_version
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.traces.capture.reading import CaptureProgress, OnProgress
from resources.kafka import KafkaResource
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource

CAPTURE_JOB = "capture_callbacks"

# A line is a row of the event log.
SECONDS_BETWEEN_LINES = 10.0


def capture_job() -> JobDefinition:
    """Declare the job `capture_callbacks`."""

    @op(name="capture", description="From the topic to a new trace folder.")
    def capture(
        context: OpExecutionContext,
        config: CaptureConfig,
        kafka: KafkaResource,
        trace_store: TraceStoreResource,
        warehouse: WarehouseResource,
    ) -> None:
        try:
            request = config.request(Path(trace_store.root), warehouse.folder())
            result = kafka.capture(request, on_progress=_log_now_and_then(context))
        except CjPipelineError as problem:
            # A cluster that is away may be back; a field that cannot be meant stays so.
            raise Failure(str(problem), allow_retries=not isinstance(problem, BadInput)) from None
        verdict = completeness(config.scenario_id, result.provenance)
        context.log_event(
            AssetMaterialization(
                TRACE,
                partition=config.scenario_id,
                description="Captured from Kafka.",
                metadata=recording_metadata(result.folder, result.provenance),
                tags={"dagster/data_version": trace_version(result.folder)},
            )
        )
        context.log_event(
            AssetCheckEvaluation(  # type: ignore[arg-type]  # taken by log_event, and not in its signature
                TRACE,
                COMPLETE,
                passed=verdict.passed,
                severity=verdict.severity,
                description=verdict.description,
                partition=config.scenario_id,
            )
        )

    @job(
        name=CAPTURE_JOB,
        description="Captures one batch's callbacks from Kafka into a new trace folder. Half a minute later it is a "
        "partition, and its parity has been asked for.",
        executor_def=in_process_executor,
        config={"ops": {"capture": {"config": EXAMPLE}}},
    )
    def capture_callbacks() -> None:
        capture()

    return capture_callbacks


def _log_now_and_then(context: OpExecutionContext) -> OnProgress:
    """Return a function that writes progress into the run's log."""
    last = monotonic()

    def log(progress: CaptureProgress) -> None:
        nonlocal last
        if monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = monotonic()
            wanted = "" if progress.wanted is None else f" of {progress.wanted}"
            context.log.info(f"{progress.read}{wanted} messages read, {progress.taken} taken")

    return log
