"""This module declares the assets of the two sides of a parity run: callbacks, summary, run and fit of each.

The sides differ in what `JUDGES` says about them and in nothing else. Edges are what is read, with two exceptions:
scenario.yaml is configuration, and a run's callbacks lie beside it, so whatever reads the run needs no second edge.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    RetryRequested,
    asset_check,
    multi_asset,
)

from assets.specs import MODE, TRACE, Group, about, asset_spec, stored, table
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.remote import ServiceUnreachable
from cj_pipeline.runs.tables import (
    load_answers,
    load_columns,
    load_quarantine,
    load_run,
    store_answers,
    store_bt_fit,
    store_run,
    store_summary,
)
from cj_pipeline.traces.summary import summarise_columns
from resources.cj_engine import CjEngineResource
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource

UNREACHABLE_RETRIES, UNREACHABLE_WAIT_S = 2, 15.0

TRIAL_TAG = "cj_pipeline/trial"
"""Run tag: the run is not the scenario's own, and is not published."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Who answers on one side.

    reads: the assets that it answers from; resource: what asks it; by_product: the asset, and `dataset`, that comes
    with its callbacks; computed_by: see assets/code_versions.py.
    """

    reads: tuple[AssetKey, ...]
    resource: str
    by_product: str
    dataset: str
    what: str
    computed_by: str


JUDGES = {
    Side.RECORDED: Judge(
        reads=(TRACE,),
        resource="trace_store",
        by_product="quarantine",
        dataset="quarantine",
        what="Lines of the trace that are no usable callback, with number, reason and bytes; usually none.",
        computed_by="recording",
    ),
    # The trace too: the mock is asked the pairs that were recorded.
    Side.LIVE: Judge(
        reads=(TRACE, MODE),
        resource="lps",
        by_product="metrics",
        dataset="service_metrics",
        what="What the service's /metrics showed when the last answer was in.",
        computed_by="answers",
    ),
}


def side_key(side: Side, name: str) -> AssetKey:
    """Return the key of a side's asset."""
    return AssetKey([side.value, name])


def side_assets(side: Side, scenarios: PartitionsDefinition[str]) -> list[AssetsDefinition]:
    """Declare all assets of one side."""
    return [make(side, scenarios) for make in (_callbacks, _summary, _run, _bt_fit)]


def _callbacks(side: Side, scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    judge = JUDGES[side]
    callbacks_key, by_product_key = side_key(side, "callbacks"), side_key(side, judge.by_product)
    specs = [
        asset_spec(
            key,
            what,
            computed_by="answers",
            reads=judge.reads,
            group=Group(side.value),
            partitions=scenarios,
            dataset=dataset,
        )
        for key, what, dataset in (
            (callbacks_key, f"What the {side} judge answered, callback by callback.", "callbacks"),
            (by_product_key, judge.what, judge.dataset),
        )
    ]

    @multi_asset(
        name=f"{side}_callbacks",
        specs=specs,
        required_resource_keys={"trace_store", "engine", "warehouse", judge.resource},
    )
    def callbacks(context: AssetExecutionContext) -> Iterator[MaterializeResult[None]]:
        trace = context.resources.trace_store.trace(context.partition_key)
        scenario = context.resources.engine.configured(trace.scenario)
        try:
            answers = getattr(context.resources, judge.resource).answers(scenario, trace)
        except ServiceUnreachable as problem:
            # A service that is away may be back. Nothing else is tried again: the same input fails the same way.
            raise RetryRequested(max_retries=UNREACHABLE_RETRIES, seconds_to_wait=UNREACHABLE_WAIT_S) from problem
        run = context.resources.warehouse.run(scenario.scenario_id)
        store_answers(run, side, answers)
        tag_trial(context, answers.trial)
        path = run.path("callbacks", side)
        rows = sum(len(batch) for batch in answers.batches)
        identity = {"judge": answers.judge.name, "judge_sha256": answers.judge.sha256, "seed": answers.seed}
        yield MaterializeResult(asset_key=callbacks_key, metadata={**stored(path, rows), **identity})
        rows = len(answers.service_metrics) + sum(len(one.quarantined) for one in (answers, *answers.further))
        path = run.path(judge.dataset, side)
        yield MaterializeResult(asset_key=by_product_key, metadata=stored(path, rows))

    return callbacks


def _summary(side: Side, scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    spec = asset_spec(
        side_key(side, "summary"),
        "Counts, winners, errors, latency and tokens of the batch itself, without its repeats.",
        computed_by="traces",
        reads=[side_key(side, "callbacks")],
        group=Group(side.value),
        partitions=scenarios,
        dataset="summaries",
    )

    @multi_asset(name=f"{side}_summary", specs=[spec])
    def summary(
        context: AssetExecutionContext, trace_store: TraceStoreResource, warehouse: WarehouseResource
    ) -> MaterializeResult[None]:
        essays = (item.id for item in trace_store.scenario(context.partition_key).net.items)
        run = warehouse.run(context.partition_key)
        columns = load_columns(run, side)
        summarised = summarise_columns([columns], context.partition_key, essays)
        path = store_summary(run, side, summarised)
        return MaterializeResult(
            metadata={
                **stored(path, 1),
                "callbacks": summarised.total_events,
                "errors": summarised.error_count,
                "mean_ms": summarised.response_time_ms.mean_ms,
                "p95_ms": summarised.response_time_ms.p95_ms,
                "mean_total_tokens": summarised.token_usage.total_tokens.mean,
                "summary": MetadataValue.json(summarised.model_dump(mode="json")),
            }
        )

    return summary


def _run(side: Side, scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    spec = asset_spec(
        side_key(side, "run"),
        "The callbacks through the CJ engine: waves, decisions, coverage, and the fit at the end.",
        computed_by="runs",
        reads=[side_key(side, "callbacks"), side_key(side, JUDGES[side].by_product)],
        group=Group(side.value),
        partitions=scenarios,
        dataset="runs",
    )

    @multi_asset(name=f"{side}_run", specs=[spec])
    def run(
        context: AssetExecutionContext,
        trace_store: TraceStoreResource,
        engine: CjEngineResource,
        warehouse: WarehouseResource,
    ) -> MaterializeResult[None]:
        folder = warehouse.run(context.partition_key)
        scenario = trace_store.scenario(context.partition_key)
        record = engine.replay(scenario, side, load_answers(folder, side))
        trial = engine.is_trial(scenario)
        path = store_run(folder, record, trial=trial)
        tag_trial(context, trial)
        return MaterializeResult(
            metadata={
                **stored(path, 1),
                "status": record.document.upload_status,
                "comparisons": record.document.completed,
                "waves": record.document.iterations,
                "decisions": table(decision.model_dump() for decision in record.document.decisions),
                "answers_sha256": record.answers_sha256(),
            }
        )

    return run


def _bt_fit(side: Side, scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    spec = asset_spec(
        side_key(side, "bt_fit"),
        "The Bradley-Terry scale of the run: theta and standard error (logits) of each essay.",
        computed_by="runs",
        reads=[side_key(side, "run")],
        group=Group(side.value),
        partitions=scenarios,
        dataset="bt_fit",
    )

    @multi_asset(name=f"{side}_bt_fit", specs=[spec])
    def bt_fit(
        context: AssetExecutionContext, trace_store: TraceStoreResource, warehouse: WarehouseResource
    ) -> MaterializeResult[None]:
        folder = warehouse.run(context.partition_key)
        record = load_run(folder, side)
        path = store_bt_fit(folder, trace_store.scenario(context.partition_key), record)
        fit = record.document.fit
        return MaterializeResult(
            metadata={
                **stored(path, len(fit.essays)),
                "estimator": fit.estimator,
                "scores": table(row.model_dump() for row in fit.essays),
                **fit.se_summary,
                "flags": MetadataValue.json(fit.quality_flags),
                "warnings": MetadataValue.json(list(fit.warnings)),
            }
        )

    return bt_fit


def tag_trial(context: AssetExecutionContext, trial: bool) -> None:
    """Tag the run as a trial, so that the UI shows and filters it."""
    if trial:
        context.instance.add_run_tags(context.run.run_id, {TRIAL_TAG: "true"})


def quarantine_check(scenarios: PartitionsDefinition[str]) -> AssetChecksDefinition:
    """Declare the check `recorded/callbacks: quarantine`.

    It blocks nothing: the gate is `parity/report: recorded_lines`. A blocking check here would skip that report, which
    says what the lines left out change, and the catalogue, in which people look them up.
    """

    @asset_check(
        asset=side_key(Side.RECORDED, "callbacks"),
        additional_deps=[side_key(Side.RECORDED, "quarantine")],
        partitions_def=scenarios,
    )
    def quarantine(context: AssetCheckExecutionContext, warehouse: WarehouseResource) -> AssetCheckResult:
        """Is every line of every recording a usable callback?"""
        by_batch = load_quarantine(warehouse.run(context.partition_key))
        lines = [(batch, line) for batch, lines in by_batch.items() for line in lines]
        shown = (
            {"recording": batch, "line": line.line, "field": line.field, "reason": line.reason}
            for batch, line in lines[:20]
        )
        return AssetCheckResult(
            passed=not lines,
            # As the verdict: what was left out leaves a doubt, and is no fault of the mock.
            severity=AssetCheckSeverity.WARN,
            description=about(context.partition_key, f"{len(lines)} lines are no usable callback."),
            metadata={"quarantined": len(lines), "first_lines": table(shown)},
        )

    return quarantine
