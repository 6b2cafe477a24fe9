"""This module holds the assets of parity: the checks as rows, the report that people read, and the suite.

The gates are checks on `parity/report`, on which nothing depends. Rows, suite and catalogue depend on `parity/checks`
instead: a blocking check that fails skips whatever is downstream, and a failure is when one wants to read them.
"""

import base64
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    Config,
    FreshnessPolicy,
    MarkdownMetadataValue,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    TableMetadataValue,
    multi_asset,
)
from pydantic import Field

from assets.sides import side_key
from assets.specs import CATALOGUE, CHECKS, REPORT, SUITE, TRACE, Group, about, asset_spec, stored, table
from cj_pipeline.foundation.text import markdown_text
from cj_pipeline.parity.compare import ParityReport
from cj_pipeline.parity.tables import check_row, compare_stored, store_report, stored_verdicts
from cj_pipeline.parity.verdict import Parity
from cj_pipeline.reports.headline import headline_lines
from cj_pipeline.reports.parity_report import as_markdown
from cj_pipeline.reports.plots import latency_plot, theta_plot
from cj_pipeline.runs.record import Side
from resources.cj_engine import CjEngineResource
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource

PARITY_OP = "parity"

EVERY_NIGHT = FreshnessPolicy.cron(deadline_cron="0 5 * * *", lower_bound_delta=timedelta(hours=2), timezone="UTC")
"""The night begins at 03:00 UTC. A suite that is not of this night by five is shown as stale."""


class ParityConfig(Config):
    """How a comparison is judged."""

    strict: bool = Field(
        default=False, description="CANNOT TELL also where gates pass on evidence that settles nothing."
    )


BOTH_RUNS = [side_key(side, "run") for side in Side]

# The trace too: margins are in its scenario.yaml.
WHAT_IS_COMPARED = [TRACE, *BOTH_RUNS]


def parity_asset(scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """Declare `parity/checks` and `parity/report`: one comparison, for machines and for people."""
    checks_spec = asset_spec(
        CHECKS,
        "Every parity check of a scenario as a row: verdict, both values, tolerance, evidence.",
        computed_by="parity",
        reads=WHAT_IS_COMPARED,
        group=Group.PARITY,
        partitions=scenarios,
        dataset="parity_checks",
    )
    report_spec = asset_spec(
        REPORT,
        "The parity report of a scenario, with both scales and both latencies as pictures. Its checks are the gates: "
        "one that fails turns the run red, and `dagster asset materialize` exits with 1.",
        computed_by="parity",
        reads=WHAT_IS_COMPARED,
        group=Group.PARITY,
        kinds=["python", "markdown"],
        partitions=scenarios,
    )

    @multi_asset(name=PARITY_OP, specs=[checks_spec, report_spec])
    def parity(
        context: AssetExecutionContext,
        config: ParityConfig,
        trace_store: TraceStoreResource,
        engine: CjEngineResource,
        warehouse: WarehouseResource,
    ) -> Iterator[MaterializeResult[None]]:
        scenario = engine.configured(trace_store.scenario(context.partition_key))
        file = trace_store.scenario_file(context.partition_key)
        run = warehouse.run(context.partition_key)
        provenances = [recording.provenance for recording in trace_store.recordings(context.partition_key)]
        report = compare_stored(run, scenario, scenario_file=file, strict=config.strict, provenances=provenances)
        path = store_report(run, report)
        verdict = verdict_metadata(report)
        yield MaterializeResult(asset_key=CHECKS, metadata={**stored(path, len(report.results)), **verdict})
        yield MaterializeResult(
            asset_key=REPORT,
            metadata={
                **verdict,
                "scales": picture("both scales", theta_plot(scenario, report.recorded, report.live)),
                "latencies": picture("both latencies", latency_plot(report.recorded, report.live)),
                "report": MetadataValue.md(as_markdown(report)),
                "checks": verdict_table(report),
            },
        )

    return parity


def suite_asset(scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """Declare `parity/suite`."""
    spec = asset_spec(
        SUITE,
        "Every scenario that has a published comparison, one line each.",
        # The catalogue's step publishes; a suite before it would show the run before this one.
        computed_by="parity",
        reads=[CHECKS, CATALOGUE],
        group=Group.PARITY,
        freshness=EVERY_NIGHT,
    )

    @multi_asset(name="parity_suite", specs=[spec])
    def suite(warehouse: WarehouseResource) -> MaterializeResult[None]:
        verdicts = stored_verdicts(warehouse.open(), scenarios.get_partition_keys())
        lines = [
            {
                "scenario": one.scenario_id,
                "verdict": one.words,
                "failing": ", ".join(one.failing),
                "reasons": " ".join(reason.sentence for reason in one.reasons),
                "gates_failed": len(one.failing),
                "checks_on": one.checks_on,
                "checks_off": one.checks_off,
                "inconclusive": one.inconclusive,
                "run": one.run_id,
            }
            for one in verdicts
        ]
        return MaterializeResult(
            metadata={
                "scenarios": table(lines),
                "scenarios_compared": len(verdicts),
                **{
                    f"scenarios_{verdict.name.lower()}": sum(one.verdict is verdict for one in verdicts)
                    for verdict in Parity
                },
                "scenarios_unexpected": sum(not one.as_expected for one in verdicts),
            }
        )

    return suite


def verdict_metadata(report: ParityReport) -> dict[str, Any]:
    """Return the verdict, its headline and reasons, and how many gates could have failed, did, or settle nothing."""
    return {
        "verdict": report.verdict.value,
        "expected": report.expected.value,
        "headline": MetadataValue.md(_listed(_lines(report))),
        "reasons": MetadataValue.md("\n".join(f"- {markdown_text(one.sentence)}" for one in report.reasons) or "none"),
        "recordings": report.recordings,
        "gates_could_fail": len(report.could_fail),
        "gates_failed": len(report.failed),
        "checks_off": len(report.results) - len(report.on),
        "inconclusive": len(report.inconclusive),
    }


def _lines(report: ParityReport) -> list[str]:
    first, *rest = headline_lines(report)
    return [about(report.scenario.scenario_id, first), *rest]


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown_text(line)}" for line in lines)


def verdict_table(report: ParityReport) -> TableMetadataValue:
    """Return the report's rows as a table that the UI shows at once; it hides markdown of this length."""
    shown = ("check", "verdict", "sentence", "tolerance", "evidence")
    rows = [check_row(result) for result in report.results]
    return table({name: row[name] for name in shown} for row in rows)


def picture(title: str, png: bytes) -> MarkdownMetadataValue:
    """Return a PNG as metadata, which keeps it in the event log, since the UI shows no files."""
    return MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")
