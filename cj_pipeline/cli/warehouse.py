"""`cj-pipeline materialize` and `sql`: filling the warehouse and asking it."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from cj_pipeline.cli.output import json_option, print_json, print_table
from cj_pipeline.cli.sources import trace_store
from cj_pipeline.errors import BadInput, CjPipelineError
from cj_pipeline.parity.tables import PART as PARITY_PART
from cj_pipeline.settings import PipelineSettings
from cj_pipeline.warehouse.store import Warehouse

EXIT_FAILED = 1


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
    for scenario_id in chosen:
        store.scenario(scenario_id)  # a name that is not there is said before anything runs
    try:
        from cj_pipeline.definitions import materialise
    except ModuleNotFoundError as error:
        raise CjPipelineError(
            f"{error}. Materialising needs Dagster: install cj-pipeline[dagster]. "
            "Without it, `cj-pipeline parity SCENARIO` compares without a warehouse."
        ) from None
    warehouse = Warehouse(PipelineSettings().data_dir)
    with Console(stderr=True).status("") as status:
        succeeded = {}
        for number, scenario_id in enumerate(chosen, start=1):
            status.update(f"materialising {scenario_id} ({number} of {len(chosen)})")
            succeeded.update(materialise([scenario_id], mode=mode, seed=seed, realtime=realtime))
    rows = [_suite_row(warehouse, scenario_id, succeeded[scenario_id]) for scenario_id in chosen]
    if as_json:
        print_json(rows)
    else:
        print_table("Parity", list(rows[0]), [list(row.values()) for row in rows])
        click.echo(f"Everything is in {warehouse.catalogue_path}; ask it with: cj-pipeline sql")
    if not all(succeeded.values()):
        sys.exit(EXIT_FAILED)


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


def _suite_row(warehouse: Warehouse, scenario_id: str, succeeded: bool) -> dict[str, object]:
    """One scenario of the parity table, from what the graph stored."""
    try:
        checks = warehouse.read("parity_checks", scenario_id, PARITY_PART)
    except BadInput:
        checks = []  # the run broke off before there was a report
    verdicts = [row["verdict"] for row in checks]
    by_name = {row["check"]: row for row in checks}
    return {
        "scenario": scenario_id,
        "verdict": "pass" if succeeded and checks else "fail",
        "passed": verdicts.count("pass"),
        "failed": verdicts.count("fail"),
        "off": verdicts.count("off"),
        "rank tau-b": _value(by_name, "rank_agreement", "value"),
        "pairs agreeing": _value(by_name, "pair_agreement", "value"),
        "mean ms recorded": _value(by_name, "latency_mean", "recorded"),
        "mean ms live": _value(by_name, "latency_mean", "live"),
        "tokens recorded": _value(by_name, "tokens_total", "recorded"),
        "tokens live": _value(by_name, "tokens_total", "live"),
        "failing": ", ".join(row["check"] for row in checks if row["verdict"] == "fail"),
    }


def _value(by_name: dict[str, dict[str, object]], check: str, column: str) -> object:
    return by_name.get(check, {}).get(column)
