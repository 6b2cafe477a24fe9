"""This module holds the jobs of the ENG5 runner, one for each of its modes, with the flags as run configuration.

A run logs a materialisation of `eng5/run`, one partition for each mode: artefact, costs, and for a
test of anchors the report with its ladder. A run that was stopped goes on when it is started again with the same
configuration.
"""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from dagster import (
    AssetKey,
    AssetMaterialization,
    Failure,
    JobDefinition,
    MetadataValue,
    OpExecutionContext,
    in_process_executor,
    job,
    op,
)

from assets.eng5_config import EXAMPLES, Eng5Config
from assets.parity import picture
from cj_pipeline.eng5.artefact.files import read_document
from cj_pipeline.eng5.asking import OnProgress, Progress
from cj_pipeline.eng5.batching import batching_block, batching_words, overrides_of, overrides_words
from cj_pipeline.eng5.deployed_run import run_deployed
from cj_pipeline.eng5.options import CapacityError, JudgeKind, RunnerMode
from cj_pipeline.eng5.runner import RunOutcome, run
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.local.small_judge import small_judge, small_model
from resources.warehouse import WarehouseResource

ENG5_RUN = AssetKey(["eng5", "run"])

# A line is a row of the event log.
SECONDS_BETWEEN_LINES = 15.0

ABOUT = {
    RunnerMode.PLAN: "Lists the inputs of a run.",
    RunnerMode.DRY_RUN: "Writes the artefact without a comparison.",
    RunnerMode.EXECUTE: "Has students' essays judged beside graded anchors.",
    RunnerMode.ANCHOR_ALIGN: "Has the anchors judged, and holds their order against their grades.",
    RunnerMode.BOUNDARY: "Asks about anchors of neighbouring grades again and again, in both orders.",
}


def eng5_jobs() -> list[JobDefinition]:
    """Declare a job for each mode: `eng5_plan`, `eng5_dry_run`, `eng5_execute` and the two tests."""
    return [_job(mode) for mode in RunnerMode]


def eng5_job_name(mode: RunnerMode) -> str:
    """Return the name of the job of a mode."""
    return f"eng5_{op_name(mode)}"


def op_name(mode: RunnerMode) -> str:
    """Return the name of its one op, under which the run configuration has the flags."""
    return mode.replace("-", "_")


def _job(mode: RunnerMode) -> JobDefinition:
    @op(name=op_name(mode), description=ABOUT[mode])
    def eng5_op(context: OpExecutionContext, config: Eng5Config, warehouse: WarehouseResource) -> None:
        try:
            outcome = _run(context, config, mode, Path(warehouse.root))
        except CjPipelineError as problem:
            # A judge that is away may be back; what cannot be meant, and an empty folder, stay so.
            lasting = isinstance(problem, BadInput | CapacityError)
            raise Failure(str(problem), allow_retries=not lasting) from None
        context.log_event(
            AssetMaterialization(
                ENG5_RUN, partition=mode.value, description=ABOUT[mode], metadata=outcome_metadata(outcome)
            )
        )
        if outcome.partial and outcome.answers is not None:
            context.log.warning(f"partial data, because {outcome.answers.partial}; start it again to go on")

    @job(
        name=eng5_job_name(mode),
        description=f"{ABOUT[mode]} Embedded on the mock unless the configuration says otherwise (docs/eng5.md).",
        executor_def=in_process_executor,
        config={"ops": {op_name(mode): {"config": dict(EXAMPLES[mode])}}},
    )
    def eng5_job() -> None:
        eng5_op()

    return eng5_job


def _run(context: OpExecutionContext, config: Eng5Config, mode: RunnerMode, data_dir: Path) -> RunOutcome:
    options, services = config.options(mode, data_dir), config.services(data_dir)
    progress = log_now_and_then(context)
    if services is not None and mode.asks:
        return run_deployed(options, services, on_progress=progress, note=context.log.info, restart=config.restart)
    with ExitStack() as stack:
        local = None
        if options.judging.kind is JudgeKind.LOCAL and mode.asks:
            local = small_model(options.temperature, options.max_tokens)
            base_url = stack.enter_context(small_judge())
            options = replace(options, judging=replace(options.judging, base_url=base_url))
        return run(options, on_progress=progress, note=context.log.info, restart=config.restart, local=local)


def outcome_metadata(outcome: RunOutcome) -> dict[str, Any]:
    """Return what Dagster shows of a run: no text of an essay."""
    document, options = read_document(outcome.artefact), outcome.facts.options
    shown: dict[str, Any] = {
        "artefact": MetadataValue.path(outcome.artefact),
        "artefact_checksum": document["validation"]["artefact_checksum"],
        "batch_uuid": document["metadata"]["batch_uuid"],
        "anchors": len(document["inputs"]["anchors"]),
        "students": len(document["inputs"]["students"]),
        "comparisons": len(document["llm_comparisons"]),
        "total_usd": document["costs"]["total_usd"],
        "money": _money(document),
        "batching": batching_words(document["metadata"].get("batching") or batching_block(options.batching_mode, ())),
        "overrides": overrides_words(overrides_of(outcome.facts)),
        "partial_data": outcome.partial,
    }
    for path in outcome.reports:
        if path.suffix == ".md" and "_full_" not in path.name:
            shown["report"] = MetadataValue.md(path.read_text(encoding="utf-8"))
        elif path.suffix == ".png":
            shown["ladder"] = picture("anchors", path.read_bytes())
    return shown


def _money(document: dict[str, Any]) -> str:
    judge = document["metadata"].get("judge", {}).get("kind")
    if judge == JudgeKind.MOCK.value:
        return "none was spent: a mock answered"
    return "nobody was asked" if judge is None else "as billed by the judge"


def log_now_and_then(context: OpExecutionContext) -> OnProgress:
    """Return a function that writes progress into the run's log, a line every 15 s at most."""
    last = monotonic()

    def log(progress: Progress) -> None:
        nonlocal last
        if monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = monotonic()
            of = "" if progress.wanted is None else f" of {progress.wanted}"
            context.log.info(f"{progress.answered}{of} answered")

    return log
