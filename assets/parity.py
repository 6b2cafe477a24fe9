"""This module declares the assets of a comparison: the checks as rows, the report, and all scenarios in one table.

The gates are checks of `parity/report`, which nothing depends on. Rows, suite and catalogue depend on `parity/checks`
instead: a blocking check that fails skips what is downstream, and after a failure one needs to read them.
"""

import base64
from collections.abc import Iterator

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    MarkdownMetadataValue,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    TableMetadataValue,
    multi_asset,
)

from assets.sides import side_key
from assets.specs import CHECKS, REPORT, SUITE, asset_spec, stored, table
from cj_pipeline.parity.compare import ParityReport, Verdict
from cj_pipeline.parity.tables import check_row, compare_stored, store_report, stored_verdicts
from cj_pipeline.reports.parity_report import as_markdown, headline
from cj_pipeline.reports.plots import latency_plot, theta_plot
from cj_pipeline.runs.record import Side
from resources.cj_engine import CjEngineResource
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource

BOTH_RUNS = [side_key(side, "run") for side in Side]


def parity_asset(scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """Declare `parity/checks` and `parity/report`: one comparison, for machines and for people."""
    checks_spec = asset_spec(
        CHECKS,
        "Every parity check of a scenario as a row: verdict, both values, tolerance, evidence.",
        reads=BOTH_RUNS,
        group="parity",
        partitions=scenarios,
        dataset="parity_checks",
    )
    report_spec = asset_spec(
        REPORT,
        "The parity report of a scenario, with both scales and both latencies as pictures. Its checks are the gates: "
        "one that fails turns the run red, and `dagster asset materialize` exits with 1.",
        reads=BOTH_RUNS,
        group="parity",
        kinds=["python", "markdown"],
        partitions=scenarios,
    )

    @multi_asset(name="parity", specs=[checks_spec, report_spec])
    def parity(
        context: AssetExecutionContext,
        trace_store: TraceStoreResource,
        engine: CjEngineResource,
        warehouse: WarehouseResource,
    ) -> Iterator[MaterializeResult[None]]:
        scenario = engine.configured(trace_store.scenario(context.partition_key))
        file = trace_store.scenario_file(context.partition_key)
        report = compare_stored(warehouse.open(), scenario, scenario_file=file)
        path = store_report(warehouse.open(), report)
        counts = verdict_counts(report)
        yield MaterializeResult(asset_key=CHECKS, metadata={**stored(path, len(report.results)), **counts})
        yield MaterializeResult(
            asset_key=REPORT,
            metadata={
                "headline": headline(report),
                **counts,
                "scales": picture("both scales", theta_plot(scenario, report.recorded, report.live)),
                "latencies": picture("both latencies", latency_plot(report.recorded, report.live)),
                "report": MetadataValue.md(as_markdown(report)),
                "verdicts": verdict_table(report),
            },
        )

    return parity


def suite_asset(scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """Declare `parity/suite`."""
    spec = asset_spec(
        SUITE,
        "Every scenario that has a stored comparison, one line each.",
        reads=[CHECKS],
        group="parity",
    )

    @multi_asset(name="parity_suite", specs=[spec])
    def suite(warehouse: WarehouseResource) -> MaterializeResult[None]:
        verdicts = stored_verdicts(warehouse.open(), scenarios.get_partition_keys())
        lines = [
            {
                "scenario": one.scenario_id,
                "verdict": "fail" if one.failed else "pass",
                "failing": ", ".join(one.failing),
                "passed": one.passed,
                "failed": one.failed,
                "off": one.off,
                "inconclusive": one.inconclusive,
            }
            for one in verdicts
        ]
        return MaterializeResult(
            metadata={
                "scenarios": table(lines),
                "scenarios_compared": len(verdicts),
                "scenarios_failing": sum(one.failed > 0 for one in verdicts),
            }
        )

    return suite


def verdict_counts(report: ParityReport) -> dict[str, int]:
    """Count the checks that passed, failed, are off, and those whose evidence settles nothing."""
    verdicts = [result.verdict for result in report.results]
    return {
        "passed": verdicts.count(Verdict.PASS),
        "failed": verdicts.count(Verdict.FAIL),
        "off": verdicts.count(Verdict.OFF),
        "inconclusive": len(report.inconclusive),
    }


def verdict_table(report: ParityReport) -> TableMetadataValue:
    """Return the report's rows as a table, which the UI shows at once; it hides long markdown behind a button."""
    shown = ("check", "verdict", "sentence", "tolerance", "evidence")
    rows = [check_row(report.scenario.scenario_id, result) for result in report.results]
    return table({name: row[name] for name in shown} for row in rows)


def picture(title: str, png: bytes) -> MarkdownMetadataValue:
    """Return a PNG as metadata, which keeps it in the event log, since the UI shows no files."""
    return MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")
