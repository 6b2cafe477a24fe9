"""This module defines `cj-pipeline materialize`, which fills the warehouse and prints the parity table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cj_pipeline.cli.output import (
    csv_option,
    json_option,
    print_csv,
    print_json,
    print_table,
    progress_bar,
    say,
    say_wrapped,
)
from cj_pipeline.cli.scenario_names import scenario_folder
from cj_pipeline.cli.sources import trace_store
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.settings import PipelineSettings
from cj_pipeline.parity.evidence import EvidenceVerdict
from cj_pipeline.parity.tables import PART as PARITY_PART
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.runs.record import Side
from cj_pipeline.traces.scenario import SCENARIO_FILE, read_scenario
from cj_pipeline.warehouse.store import Warehouse

if TYPE_CHECKING:
    from cj_pipeline.definitions import Materialised


@click.command()
@click.argument("scenarios", metavar="[SCENARIO]...", nargs=-1)
@click.option("--mode", help="A mode, or +OVERLAY on each scenario's own.")
@click.option("--seed", type=int, help="Seed of the mock; the scenario's own by default.")
@click.option("--realtime", is_flag=True, help="Take as long as the latencies do.")
@json_option
@csv_option
def materialize(
    scenarios: tuple[str, ...], mode: str | None, seed: int | None, realtime: bool, as_json: bool, as_csv: bool
) -> None:
    """Materialise every asset of the SCENARIOs (all by default) and print the parity table.

    SCENARIO: an id or a folder. The Dagster graph runs in this process. Exits with 1 when a check fails, 2 when a
    scenario cannot be used.
    """
    folders = [scenario_folder(name) for name in scenarios] or _all_folders()
    for folder in folders:  # a name that is not there is reported before anything runs
        path = folder / SCENARIO_FILE
        scenario_mode(read_scenario(path), mode, scenario_file=path)
    try:
        from cj_pipeline.definitions import materialise
    except ModuleNotFoundError as error:
        raise CjPipelineError(
            f"{error}. Materialising needs Dagster: install cj-pipeline[dagster]. "
            "Without it, `cj-pipeline parity SCENARIO` compares without a warehouse."
        ) from None
    warehouse = Warehouse(PipelineSettings().data_dir)
    results: list[Materialised] = []
    with progress_bar("materialising", len(folders)) as progress:
        for traces_dir, together in groupby(folders, key=lambda folder: folder.parent):
            ids = [folder.name for folder in together]
            for result in materialise(ids, mode=mode, seed=seed, realtime=realtime, traces_dir=traces_dir):
                results.append(result)
                progress(1)
    rows = [_suite_row(warehouse, result) for result in results]
    if as_json:
        print_json(rows)
    elif as_csv:
        print_csv(*_suite_csv(rows))
    else:
        _print_suite(rows)
        say(f"Everything is in {warehouse.catalogue_path}; ask it with: cj-pipeline sql")
    sys.exit(max(_exit_code(result) for result in results))


def _all_folders() -> list[Path]:
    store = trace_store()
    folders = [store.folder(scenario_id) for scenario_id in store.scenario_ids()]
    if not folders:
        raise BadInput(
            "holds no scenario.",
            path=store.root,
            remedy="Run from the project's folder, or set CJ_PIPELINE_TRACES_DIR.",
        )
    return folders


def _exit_code(result: Materialised) -> int:
    """Return the exit code of one scenario, and print what stopped its run."""
    stops = [] if result.compared else [f"{name}: {reason}" for name, reason in result.failed_checks.items()]
    for problem in (*result.problems, *stops):
        say(f"{result.scenario_id} broke off: {problem}", err=True)
    if result.success:
        return exit_codes.PASSED
    if result.defects:
        return exit_codes.INTERNAL_ERROR
    return exit_codes.CHECK_FAILED if result.compared and not result.problems else exit_codes.BAD_INPUT


def _suite_row(warehouse: Warehouse, result: Materialised) -> dict[str, Any]:
    """Return one scenario of the parity table, from what the graph stored."""
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


def _suite_csv(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[object]]]:
    """Return headings and rows of the parity table, a column for each side of a pair and the failed checks as one."""
    flat = [
        {
            **{key: value for key, value in row.items() if not isinstance(value, dict | list)},
            **{f"{key}_{side}": value for key in ("mean_ms", "mean_tokens") for side, value in row[key].items()},
            "failing": " ".join(row["failing"]),
        }
        for row in rows
    ]
    return list(flat[0]), [list(row.values()) for row in flat]


def _print_suite(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the parity table in two parts, which fit 80 columns each; pairs of values are recorded and live."""

    def pair(values: Mapping[str, float | None]) -> str:
        return " / ".join("" if value is None else f"{value:,.1f}" for value in values.values())

    print_table(
        "Parity",
        ("scenario", "verdict", "checks", "rank tau-b", "same winner"),
        [
            (
                row["scenario"],
                row["verdict"],
                f"{row['passed']} of {row['passed'] + row['failed']}",
                row["rank_tau_b"],
                row["pair_agreement"],
            )
            for row in rows
        ],
    )
    for row in rows:
        if row["failing"]:
            say_wrapped(f"{row['scenario']} failed: {', '.join(row['failing'])}", indent="    ")
    print_table(
        "Means (recorded / live)",
        ("scenario", "ms", "tokens", "off", "unproven"),
        [
            (row["scenario"], pair(row["mean_ms"]), pair(row["mean_tokens"]), row["off"], row["inconclusive"])
            for row in rows
        ],
    )
    say_wrapped("unproven: gates that passed on evidence that settles nothing; off: checks that do not apply.")
