"""This module holds the job `record_judge`, which asks a real judge and makes a new trace folder of its answers.

A job and not an asset, for the reasons that the capture is one: it needs a configuration, a judge and perhaps money.
What it makes is a partition of `trace`, and it says so: with the digest of the callbacks for data version, and with
what the judge is like. A run that was stopped, or whose worker died, goes on where it was when it is started again
with the same configuration.
"""

import tempfile
from pathlib import Path
from time import monotonic

from dagster import AssetMaterialization, Failure, JobDefinition, OpExecutionContext, in_process_executor, job, op

from assets.record_config import EXAMPLE, RecordConfig
from assets.specs import TRACE
from assets.trace import recording_metadata, trace_version
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.runs.recording.continuing import left_of, record_or_add, wanted
from cj_pipeline.runs.recording.estimate import estimated
from cj_pipeline.runs.recording.portrait import portrait_of_trace
from cj_pipeline.runs.recording.record import OnProgress, RecordingProgress, RecordingStopped
from cj_pipeline.traces.provenance import read_provenance
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource

RECORD_JOB = "record_judge"

# A line is a row of the event log.
SECONDS_BETWEEN_LINES = 15.0


def record_job() -> JobDefinition:
    """Declare the job `record_judge`."""

    @op(name="record", description="From a folder of essays and a real judge to a new trace folder.")
    def record_op(
        context: OpExecutionContext, config: RecordConfig, trace_store: TraceStoreResource, warehouse: WarehouseResource
    ) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="cj-pipeline-record-") as folder:
                asked = config.prepared(Path(trace_store.root), warehouse.folder(), Path(folder))
                with asked as (request, judge):
                    if request.graded_strangers:
                        context.log.warning(f"grades of no essay in the folder: {', '.join(request.graded_strangers)}")
                    trace = request.target
                    while (part := wanted(request, config.more)) is not None:
                        left = estimated(part, judge)
                        price = "unknown" if left.most_usd is None else f"{left.most_usd:.3f} USD at most"
                        context.log.info(f"{left.comparisons} comparisons of {part.judge.model} to ask; price {price}")
                        for note in record_or_add(part, judge, on_progress=_log_now_and_then(context)):
                            context.log.warning(note)
                        if config.more is not None:
                            break
                        request = left_of(request, part)
        except CjPipelineError as problem:
            # A judge that is away may be back; a field that cannot be meant, and an empty purse, stay so.
            lasting = isinstance(problem, BadInput | RecordingStopped)
            raise Failure(str(problem), allow_retries=not lasting) from None
        portrait = portrait_of_trace(trace)
        context.log_event(
            AssetMaterialization(
                TRACE,
                partition=config.scenario_id,
                description="Recorded from a real judge.",
                metadata={
                    **recording_metadata(trace, read_provenance(trace)),
                    "answered": str(portrait.answered),
                    "prefers_first_shown": str(portrait.first_shown),
                    "prefers_better_grade": str(portrait.better_grade),
                    "says_the_same_again": str(portrait.same_answer),
                    "errors": dict(portrait.errors),
                },
                tags={"dagster/data_version": trace_version(trace)},
            )
        )

    @job(
        name=RECORD_JOB,
        description="Asks a real judge about a folder of essays and makes a trace folder of its answers. Half a minute "
        "later it is a partition, and its parity has been asked for. Keys come from the environment.",
        executor_def=in_process_executor,
        config={"ops": {"record": {"config": EXAMPLE}}},
    )
    def record_judge() -> None:
        record_op()

    return record_judge


def _log_now_and_then(context: OpExecutionContext) -> OnProgress:
    """Return a function that writes progress into the run's log."""
    last = monotonic()

    def log(progress: RecordingProgress) -> None:
        nonlocal last
        if monotonic() - last >= SECONDS_BETWEEN_LINES or progress.answered == progress.wanted:
            last = monotonic()
            spent = "" if not progress.spent_usd else f", {progress.spent_usd:.4f} USD"
            context.log.info(f"run {progress.run}: {progress.answered} of {progress.wanted} answered{spent}")

    return log
