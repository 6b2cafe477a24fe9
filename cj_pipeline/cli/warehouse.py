"""`cj-pipeline materialize` and `sql`: filling the warehouse and asking it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from cj_pipeline.cli.output import json_option, print_json, print_table, progress_bar
from cj_pipeline.cli.sources import trace_store
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.settings import PipelineSettings
from cj_pipeline.parity.evidence import EvidenceVerdict
from cj_pipeline.parity.tables import PART as PARITY_PART
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.runs.record import Side
from cj_pipeline.traces.scenario import SCENARIO_FILE
from cj_pipeline.warehouse.store import Warehouse

if TYPE_CHECKING:
    from cj_pipeline.definitions import Materialised


@click.command()
@click.argument("scenario_ids", metavar="[SCENARIO]...", nargs=-1)
@click.option("--mode", help="A mode, or +OVERLAY on each scenario's own.")
@click.option("--seed", type=int, help="Seed of the mock; the scenario's own by default.")
@click.option("--realtime", is_flag=True, help="Take as long as the latencies do.")
@json_option
def materialize(
    scenario_ids: tuple[str, ...], mode: str | None, seed: int | None, realtime: bool, as_json: bool
) -> None:
    """Materialise every asset of the SCENARIOs (all by default) and print the parity table.

    The Dagster graph, in this process. Exits with 1 when a parity check fails.
    """
    store = trace_store()
    chosen = scenario_ids or store.scenario_ids()
    if not chosen:
        raise BadInput(
            "holds no scenario.",
            path=store.root,
            remedy="Run from the project's folder, or set CJ_PIPELINE_TRACES_DIR.",
        )
    for scenario_id in chosen:  # a name that is not there is said before anything runs
        scenario_mode(store.scenario(scenario_id), mode, scenario_file=store.root / scenario_id / SCENARIO_FILE)
    try:
        from cj_pipeline.definitions import materialise
    except ModuleNotFoundError as error:
        raise CjPipelineError(
            f"{error}. Materialising needs Dagster: install cj-pipeline[dagster]. "
            "Without it, `cj-pipeline parity SCENARIO` compares without a warehouse."
        ) from None
    warehouse = Warehouse(PipelineSettings().data_dir)
    results: list[Materialised] = []
    with progress_bar("materialising", len(chosen)) as progress:
        for result in materialise(chosen, mode=mode, seed=seed, realtime=realtime):
            results.append(result)
            progress(1)
    rows = [_suite_row(warehouse, result) for result in results]
    if as_json:
        print_json(rows)
    else:
        _print_suite(rows)
        click.echo(f"Everything is in {warehouse.catalogue_path}; ask it with: cj-pipeline sql")
    for result in results:
        stops = [] if result.compared else [f"{name}: {told}" for name, told in result.failed_checks.items()]
        for problem in (*result.problems, *stops):
            click.echo(f"{result.scenario_id} broke off: {problem}", err=True)
    if not all(result.success for result in results):
        sys.exit(exit_codes.CHECK_FAILED)


@click.command()
@click.argument("query", required=False, default="show tables")
@json_option
def sql(query: str, as_json: bool) -> None:
    """Ask the warehouse (DuckDB, read-only); without a QUERY, list the tables."""
    table = Warehouse(PipelineSettings().data_dir).query(query)
    if as_json:
        print_json(table.to_pylist())
    else:
        print_table(f"{table.num_rows} rows", table.column_names, [list(row.values()) for row in table.to_pylist()])


def _suite_row(warehouse: Warehouse, result: Materialised) -> dict[str, Any]:
    """One scenario of the parity table, from what the graph stored."""
    # A run that was stopped before its report stored none; the one that lies there is an earlier run's.
    checks = warehouse.read("parity_checks", result.scenario_id, PARITY_PART) if result.compared else []
    verdicts = [row["verdict"] for row in checks]
    by_name = {row["check"]: row for row in checks}
    return {
        "scenario": result.scenario_id,
        "verdict": "pass" if result.success else "fail",
        "passed": verdicts.count("pass"),
        "failed": verdicts.count("fail"),
        "off": verdicts.count("off"),
        "inconclusive": sum(row["evidence"] == EvidenceVerdict.INCONCLUSIVE for row in checks),
        "rank_tau_b": by_name.get("rank_agreement", {}).get("value"),
        "pair_agreement": by_name.get("pair_agreement", {}).get("value"),
        "mean_ms": _both(by_name, "latency_mean"),
        "mean_tokens": _both(by_name, "tokens_total"),
        "failing": [row["check"] for row in checks if row["verdict"] == "fail"],
    }


def _both(by_name: Mapping[str, Mapping[str, Any]], check: str) -> dict[str, Any]:
    row = by_name.get(check, {})
    return {side.value: row.get(side.value) for side in Side}


def _print_suite(rows: Sequence[Mapping[str, Any]]) -> None:
    """The parity table; pairs of values are recorded and live."""

    def pair(values: Mapping[str, float | None]) -> str:
        return " / ".join("" if value is None else f"{value:,.1f}" for value in values.values())

    print_table(
        "Parity",
        ("scenario", "verdict", "checks", "off", "unproven", "rank tau-b", "same winner", "mean ms", "mean tokens"),
        [
            (
                row["scenario"],
                row["verdict"],
                f"{row['passed']} of {row['passed'] + row['failed']}",
                row["off"],
                row["inconclusive"],
                row["rank_tau_b"],
                row["pair_agreement"],
                pair(row["mean_ms"]),
                pair(row["mean_tokens"]),
            )
            for row in rows
        ],
    )
    click.echo("Pairs of values are recorded / live; unproven: gates that passed on evidence that settles nothing.")
    for row in rows:
        if row["failing"]:
            click.echo(f"{row['scenario']} failed: {', '.join(row['failing'])}")
